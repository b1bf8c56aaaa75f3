package peer;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/** exp, log, sigmoid and tanh of all lanes at once, to about 1e-7; and the lanes of a row's floats. */
final class Lanes {
    static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Byte> BYTES = FLOATS.vectorShape().withLanes(byte.class);
    static final int WIDTH = FLOATS.length();

    // Adding 1.5 * 2^23 rounds to an integer, which is then in the lowest bits.
    private static final float ROUNDING = 12_582_912f;
    private static final float LOG2_E = 1.44269504f;
    private static final float LN2_HIGH = 0.693359375f;
    private static final float LN2_LOW = -2.12194440e-4f;
    private static final float LEAST = -87f; // below it e^x is no normal number
    private static final float MOST = 88f;
    private static final int HALF_ROOT = 0x3f3504f3; // the bits of sqrt(0.5)
    private static final int FRACTION = 0x007fffff;

    private Lanes() {}

    static FloatVector of(byte[] row, int at) {
        return ByteVector.fromArray(BYTES, row, at).reinterpretAsFloats();
    }

    static FloatVector of(MemorySegment numbers, long at) {
        return FloatVector.fromMemorySegment(FLOATS, numbers, at, ByteOrder.nativeOrder());
    }

    static void into(FloatVector lanes, byte[] row, int at) {
        lanes.reinterpretAsBytes().intoArray(row, at);
    }

    /** Coefficients of Cephes' expf. */
    static FloatVector exp(FloatVector x) {
        FloatVector bounded = x.blend(LEAST, x.compare(VectorOperators.LT, LEAST)); // max and min mind NaN: thrice the cost
        bounded = bounded.blend(MOST, bounded.compare(VectorOperators.GT, MOST));
        FloatVector shifted = bounded.fma(FloatVector.broadcast(FLOATS, LOG2_E), FloatVector.broadcast(FLOATS, ROUNDING));
        FloatVector whole = shifted.sub(ROUNDING);
        FloatVector rest = whole.fma(FloatVector.broadcast(FLOATS, -LN2_HIGH), bounded);
        rest = whole.fma(FloatVector.broadcast(FLOATS, -LN2_LOW), rest);
        FloatVector sum = FloatVector.broadcast(FLOATS, 1.9875691500e-4f);
        sum = sum.fma(rest, FloatVector.broadcast(FLOATS, 1.3981999507e-3f));
        sum = sum.fma(rest, FloatVector.broadcast(FLOATS, 8.3334519073e-3f));
        sum = sum.fma(rest, FloatVector.broadcast(FLOATS, 4.1665795894e-2f));
        sum = sum.fma(rest, FloatVector.broadcast(FLOATS, 1.6666665459e-1f));
        sum = sum.fma(rest, FloatVector.broadcast(FLOATS, 5.0000001201e-1f));
        sum = sum.fma(rest.mul(rest), rest).add(1f);
        IntVector exponent = shifted.reinterpretAsInts().lanewise(VectorOperators.LSHL, 23);
        return sum.reinterpretAsInts().add(exponent).reinterpretAsFloats();
    }

    /** Of normal numbers above 0; coefficients of Cephes' logf. */
    static FloatVector log(FloatVector x) {
        IntVector bits = x.reinterpretAsInts().sub(HALF_ROOT);
        FloatVector exponent = (FloatVector) bits.lanewise(VectorOperators.ASHR, 23).convert(VectorOperators.I2F, 0);
        FloatVector f = bits.and(FRACTION).add(HALF_ROOT).reinterpretAsFloats().sub(1f);
        FloatVector square = f.mul(f);
        FloatVector sum = FloatVector.broadcast(FLOATS, 7.0376836292e-2f);
        sum = sum.fma(f, FloatVector.broadcast(FLOATS, -1.1514610310e-1f));
        sum = sum.fma(f, FloatVector.broadcast(FLOATS, 1.1676998740e-1f));
        sum = sum.fma(f, FloatVector.broadcast(FLOATS, -1.2420140846e-1f));
        sum = sum.fma(f, FloatVector.broadcast(FLOATS, 1.4249322787e-1f));
        sum = sum.fma(f, FloatVector.broadcast(FLOATS, -1.6668057665e-1f));
        sum = sum.fma(f, FloatVector.broadcast(FLOATS, 2.0000714765e-1f));
        sum = sum.fma(f, FloatVector.broadcast(FLOATS, -2.4999993993e-1f));
        sum = sum.fma(f, FloatVector.broadcast(FLOATS, 3.3333331174e-1f));
        FloatVector y = sum.mul(f).mul(square);
        y = exponent.fma(FloatVector.broadcast(FLOATS, LN2_LOW), y);
        y = square.fma(FloatVector.broadcast(FLOATS, -0.5f), y);
        return exponent.fma(FloatVector.broadcast(FLOATS, LN2_HIGH), f.add(y));
    }

    static FloatVector sigmoid(FloatVector x) {
        return FloatVector.broadcast(FLOATS, 1f).div(exp(x.neg()).add(1f));
    }

    static FloatVector tanh(FloatVector x) {
        return FloatVector.broadcast(FLOATS, 2f).div(exp(x.mul(-2f)).add(1f)).sub(1f);
    }
}
