package peer;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * The loops over lanes, each so small that the JIT inlines all of it: one whose vectors have to pass through a call that
 * was not inlined, for want of room, makes objects of them. For the same reason the command line keeps these out of
 * their callers ({@code dontinline}).
 */
final class Kernels {
    private static final VectorSpecies<Float> S = Lanes.FLOATS;
    private static final VectorSpecies<Double> DOUBLES = DoubleVector.SPECIES_PREFERRED;
    private static final int L = Lanes.WIDTH;
    static final int BLOCK = 8 * L;
    static final int ROW = BLOCK * Float.BYTES; // of a block
    private static final int LANES = L * Float.BYTES;
    private static final int CACHE_LINE = 64;

    private Kernels() {}

    /** A matrix outside the heap: there its rows begin where a cache line does, else half of all loads would need two. */
    static MemorySegment aligned(float[] matrix) {
        MemorySegment segment = Arena.global().allocate((long) matrix.length * Float.BYTES, CACHE_LINE);
        MemorySegment.copy(matrix, 0, segment, ValueLayout.JAVA_FLOAT, 0, matrix.length);
        return segment;
    }

    /** To one block of `out`, `count` inputs are added times rows that lie one after the other. */
    static void addRows(MemorySegment matrix, long at, float[] input, int inputAt, int count, float[] out, int outAt) {
        FloatVector a0 = FloatVector.fromArray(S, out, outAt);
        FloatVector a1 = FloatVector.fromArray(S, out, outAt + L);
        FloatVector a2 = FloatVector.fromArray(S, out, outAt + 2 * L);
        FloatVector a3 = FloatVector.fromArray(S, out, outAt + 3 * L);
        FloatVector a4 = FloatVector.fromArray(S, out, outAt + 4 * L);
        FloatVector a5 = FloatVector.fromArray(S, out, outAt + 5 * L);
        FloatVector a6 = FloatVector.fromArray(S, out, outAt + 6 * L);
        FloatVector a7 = FloatVector.fromArray(S, out, outAt + 7 * L);
        long w = at;
        for (int n = 0; n < count; n++, w += ROW) {
            FloatVector value = FloatVector.broadcast(S, input[inputAt + n]);
            a0 = Lanes.of(matrix, w).fma(value, a0);
            a1 = Lanes.of(matrix, w + LANES).fma(value, a1);
            a2 = Lanes.of(matrix, w + 2 * LANES).fma(value, a2);
            a3 = Lanes.of(matrix, w + 3 * LANES).fma(value, a3);
            a4 = Lanes.of(matrix, w + 4 * LANES).fma(value, a4);
            a5 = Lanes.of(matrix, w + 5 * LANES).fma(value, a5);
            a6 = Lanes.of(matrix, w + 6 * LANES).fma(value, a6);
            a7 = Lanes.of(matrix, w + 7 * LANES).fma(value, a7);
        }
        a0.intoArray(out, outAt);
        a1.intoArray(out, outAt + L);
        a2.intoArray(out, outAt + 2 * L);
        a3.intoArray(out, outAt + 3 * L);
        a4.intoArray(out, outAt + 4 * L);
        a5.intoArray(out, outAt + 5 * L);
        a6.intoArray(out, outAt + 6 * L);
        a7.intoArray(out, outAt + 7 * L);
    }

    /** The same with the rows of `rowOf`. */
    static void addChosen(
        MemorySegment matrix, long at, float[] input, int[] rowOf, int inputAt, int count, float[] out, int outAt) {
        FloatVector a0 = FloatVector.fromArray(S, out, outAt);
        FloatVector a1 = FloatVector.fromArray(S, out, outAt + L);
        FloatVector a2 = FloatVector.fromArray(S, out, outAt + 2 * L);
        FloatVector a3 = FloatVector.fromArray(S, out, outAt + 3 * L);
        FloatVector a4 = FloatVector.fromArray(S, out, outAt + 4 * L);
        FloatVector a5 = FloatVector.fromArray(S, out, outAt + 5 * L);
        FloatVector a6 = FloatVector.fromArray(S, out, outAt + 6 * L);
        FloatVector a7 = FloatVector.fromArray(S, out, outAt + 7 * L);
        for (int n = inputAt; n < inputAt + count; n++) {
            long w = at + (long) rowOf[n] * ROW;
            FloatVector value = FloatVector.broadcast(S, input[n]);
            a0 = Lanes.of(matrix, w).fma(value, a0);
            a1 = Lanes.of(matrix, w + LANES).fma(value, a1);
            a2 = Lanes.of(matrix, w + 2 * LANES).fma(value, a2);
            a3 = Lanes.of(matrix, w + 3 * LANES).fma(value, a3);
            a4 = Lanes.of(matrix, w + 4 * LANES).fma(value, a4);
            a5 = Lanes.of(matrix, w + 5 * LANES).fma(value, a5);
            a6 = Lanes.of(matrix, w + 6 * LANES).fma(value, a6);
            a7 = Lanes.of(matrix, w + 7 * LANES).fma(value, a7);
        }
        a0.intoArray(out, outAt);
        a1.intoArray(out, outAt + L);
        a2.intoArray(out, outAt + 2 * L);
        a3.intoArray(out, outAt + 3 * L);
        a4.intoArray(out, outAt + 4 * L);
        a5.intoArray(out, outAt + 5 * L);
        a6.intoArray(out, outAt + 6 * L);
        a7.intoArray(out, outAt + 7 * L);
    }

    /** Columns [4, hidden] of sigmoids, the third at twice its number, move h and c. */
    static void carry(float[] columns, int at, float[] h, float[] c, int carryAt, int hidden) {
        for (int j = 0; j < hidden; j += L) {
            FloatVector in = FloatVector.fromArray(S, columns, at + j);
            FloatVector forget = FloatVector.fromArray(S, columns, at + hidden + j);
            FloatVector candidate = FloatVector.fromArray(S, columns, at + 2 * hidden + j);
            FloatVector added = in.mul(candidate.add(candidate).sub(1f)); // tanh(x) = 2 sigmoid(2x) - 1
            FloatVector kept = FloatVector.fromArray(S, c, carryAt + j).fma(forget, added);
            kept.intoArray(c, carryAt + j);
            FloatVector told = Lanes.sigmoid(kept.add(kept));
            FloatVector out = FloatVector.fromArray(S, columns, at + 3 * hidden + j);
            out.mul(told.add(told).sub(1f)).intoArray(h, carryAt + j);
        }
    }

    static void sigmoid(float[] numbers, int to) {
        for (int i = 0; i < to; i += L) {
            Lanes.sigmoid(FloatVector.fromArray(S, numbers, i)).intoArray(numbers, i);
        }
    }

    static void exp(float[] numbers, int to) {
        for (int i = 0; i < to; i += L) {
            Lanes.exp(FloatVector.fromArray(S, numbers, i)).intoArray(numbers, i);
        }
    }

    static void log(float[] numbers, int to) {
        for (int i = 0; i < to; i += L) {
            Lanes.log(FloatVector.fromArray(S, numbers, i)).intoArray(numbers, i);
        }
    }

    /** `out` = `a` + `b` + `c` - `less`; each part is as many lanes as it is long. */
    static void sum(float[] a, int aAt, float[] b, int bAt, float[] c, int cAt, float less, float[] out, int outAt, int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector both = FloatVector.fromArray(S, a, aAt + i).add(FloatVector.fromArray(S, b, bAt + i));
            both.add(FloatVector.fromArray(S, c, cAt + i)).sub(less).intoArray(out, outAt + i);
        }
    }

    static float total(float[] numbers, int at, int n) {
        FloatVector total = FloatVector.fromArray(S, numbers, at);
        for (int i = L; i < n; i += L) {
            total = total.add(FloatVector.fromArray(S, numbers, at + i));
        }
        return total.reduceLanes(VectorOperators.ADD);
    }

    static float dot(float[] a, float[] b, int bAt, int n) {
        FloatVector sum = FloatVector.zero(S);
        for (int i = 0; i < n; i += L) {
            sum = FloatVector.fromArray(S, b, bAt + i).fma(FloatVector.fromArray(S, a, i), sum);
        }
        return sum.reduceLanes(VectorOperators.ADD);
    }

    static void copy(float[] numbers, int from, byte[] row, int at, int n) {
        for (int i = 0; i < n; i += L) {
            Lanes.into(FloatVector.fromArray(S, numbers, from + i), row, at + i * Float.BYTES);
        }
    }

    static void copy(byte[] row, int at, float[] out, int outAt, int n) {
        for (int i = 0; i < n; i += L) {
            Lanes.of(row, at + i * Float.BYTES).intoArray(out, outAt + i);
        }
    }

    /** Places and values of the n numbers that are not 0 -> how many. */
    static int chosen(float[] numbers, int at, int n, int[] places, float[] values, int outAt) {
        int count = outAt;
        int i = 0;
        for (; i + L <= n; i += L) {
            long there = FloatVector.fromArray(S, numbers, at + i).compare(VectorOperators.NE, 0f).toLong();
            while (there != 0) {
                int place = i + Long.numberOfTrailingZeros(there);
                places[count] = place;
                values[count++] = numbers[at + place];
                there &= there - 1;
            }
        }
        for (; i < n; i++) {
            if (numbers[at + i] != 0f) {
                places[count] = i;
                values[count++] = numbers[at + i];
            }
        }
        return count - outAt;
    }

    /** How many of n sorted numbers, a multiple of 16, are at most that. */
    static int atMost(double[] sorted, int from, int n, double number) {
        int count = 0;
        for (int i = from; i < from + n; i += DOUBLES.length()) {
            count += DoubleVector.fromArray(DOUBLES, sorted, i).compare(VectorOperators.LE, number).trueCount();
        }
        return count;
    }

    /** Counts [scales, buckets] of a row fade and one is added, at `one`; ln(1 + counts) goes to `out`. */
    static void count(byte[] row, int at, float[] fading, float[] one, int oneAt, float[] out, int outAt) {
        for (int scale = 0; scale < Rows.SCALES; scale++) {
            for (int i = 0; i < Rows.BUCKETS; i += L) {
                int place = at + (scale * Rows.BUCKETS + i) * Float.BYTES;
                FloatVector counts = Lanes.of(row, place).mul(fading[scale]).add(FloatVector.fromArray(S, one, oneAt + i));
                Lanes.into(counts, row, place);
                Lanes.log(counts.add(1f)).intoArray(out, outAt + scale * Rows.BUCKETS + i);
            }
        }
    }
}
