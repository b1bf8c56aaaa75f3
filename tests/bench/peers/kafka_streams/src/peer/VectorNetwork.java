package peer;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Written by hand on the Vector API, for one event at a time.
 *
 * <p>A matrix lies in blocks of as many columns as eight registers hold, and within a block row by row, so that the inner
 * loop is a broadcast and eight fused multiply-adds from one running address. What an input of 0 would multiply is
 * skipped: of the features most are 0 (whether one of eight items is the same, counts that have faded). The numbers of an
 * action and all biases are multiplied out beforehand. Softmax needs no maximum: logits are taken relative to that of
 * the class that came, whose own term is then 1.
 */
final class VectorNetwork implements Network {
    private static final VectorSpecies<Float> S = Lanes.FLOATS;
    private static final int L = Lanes.WIDTH;
    private static final int BLOCK = 8 * L;
    private static final float ABSENT = -1e30f; // the logit of a class that a part does not have

    /** What part `known` says about the logits of another: a row for each of its classes, the first for NOTHING. */
    private record Given(float[] table, int known) {}

    private final int hidden;
    private final Rows rows;
    private final float[] gates; // blocks of [features and h, BLOCK]
    private final float[] ofAction; // [actions, columns of gates]
    private final int gateColumns;
    private final float[] expected; // blocks of [h, BLOCK]
    private final float[] direct; // [features, L]
    private final float[] directOfAction; // [actions, L]
    private final float[][] intent; // [horizons, h]
    private final int horizons;
    // Of each part of the surprise
    private final int[] begins = new int[Model.PARTS.length];
    private final int[] padded = new int[Model.PARTS.length];
    private final Given[] given = new Given[Model.PARTS.length];
    private final Given[] givenToo = new Given[Model.PARTS.length];

    // What a step works on
    private final int[] inputAt;
    private final float[] input;
    private final float[] columns;
    private final float[] logits;
    private final float[] totals = new float[Math.max(L, 8)];

    VectorNetwork(Model model, Rows rows) {
        this.rows = rows;
        hidden = model.hidden;
        horizons = model.horizons.length;
        if (hidden % L != 0 || horizons > L) {
            throw new IllegalArgumentException("model: expected a multiple of " + L + " units, got " + hidden);
        }
        float[][] numbers = model.tensor("action.weight");
        float[][] x = model.tensor("recurrent.weight_ih_l0");
        float[][] h = model.tensor("recurrent.weight_hh_l0");
        float[] biasX = model.tensor("recurrent.bias_ih_l0")[0];
        float[] biasH = model.tensor("recurrent.bias_hh_l0")[0];
        float[] bias = biasX.clone();
        for (int i = 0; i < bias.length; i++) {
            bias[i] += biasH[i];
        }
        gates = blocks(transposed(x, model.actionNumbers), transposed(h, 0));
        gateColumns = wholeBlocks(4 * hidden) * BLOCK;
        ofAction = byAction(numbers, x, bias, gateColumns);

        intent = model.tensor("intent.weight");
        float[][] intentX = model.tensor("intent_direct.weight");
        direct = new float[Features.WIDTH * L];
        for (int i = 0; i < Features.WIDTH; i++) {
            for (int k = 0; k < horizons; k++) {
                direct[i * L + k] = intentX[k][model.actionNumbers + i];
            }
        }
        directOfAction = byAction(numbers, intentX, model.tensor("intent.bias")[0], L);

        expected = blocks(transposed(model.tensor("next_event.weight"), 0));
        surprise(model);

        int inputs = Features.WIDTH + hidden;
        inputAt = new int[inputs];
        input = new float[inputs];
        columns = new float[gateColumns];
        logits = new float[expected.length / hidden + BLOCK];
    }

    private void surprise(Model model) {
        float[] bias = model.tensor("next_event.bias")[0];
        int begin = 0;
        for (int part = 0; part < Model.PARTS.length; part++) {
            begins[part] = begin;
            padded[part] = (model.partClasses[part] + L - 1) / L * L;
            for (int i = 0; i < Model.GIVEN.length; i++) {
                if (Model.GIVEN[i][0] == part) {
                    float[][] said = model.tensor("given." + i + ".weight");
                    Given table = new Given(new float[said.length * padded[part]], Model.GIVEN[i][1]);
                    for (int row = 0; row < said.length; row++) {
                        System.arraycopy(said[row], 0, table.table, row * padded[part], said[row].length);
                    }
                    if (given[part] == null) {
                        given[part] = table;
                    } else {
                        givenToo[part] = table;
                    }
                }
            }
            if (given[part] == null) {
                given[part] = new Given(new float[padded[part]], Model.NOTHING);
            }
            float[] table = given[part].table; // the bias too, and what is no class
            for (int i = 0; i < table.length; i++) {
                int of = i % padded[part];
                table[i] = of < model.partClasses[part] ? table[i] + bias[begin + of] : ABSENT;
            }
            begin += model.partClasses[part];
        }
    }

    @Override
    public void step(Batch batch) {
        for (int i = 0; i < batch.size; i++) {
            byte[] row = batch.rows[i];
            // What was expected, from the output before the event
            for (int j = 0; j < hidden; j += L) {
                Lanes.of(row, rows.carry + j * Float.BYTES).intoArray(input, j);
            }
            for (int k = 0; k < hidden; k++) {
                inputAt[k] = k * BLOCK;
            }
            for (int at = 0, block = 0; at < expected.length; at += hidden * BLOCK, block += BLOCK) {
                multiply(expected, at, hidden, null, 0, logits, block);
            }
            nats(batch, i);

            int action = batch.events[i].action;
            int count = inputs(batch.real, i * Features.WIDTH, row);
            int size = (Features.WIDTH + hidden) * BLOCK;
            for (int at = 0, block = 0; block < gateColumns; at += size, block += BLOCK) {
                multiply(gates, at, count, ofAction, action * gateColumns + block, columns, block);
            }
            carry(row);
            intent(batch, i, action, count - hidden);
        }
    }

    /** The features that are not 0, then h -> how many there are. */
    private int inputs(float[] real, int realAt, byte[] row) {
        int count = 0;
        int i = 0;
        for (; i + L <= Features.WIDTH; i += L) {
            FloatVector lanes = FloatVector.fromArray(S, real, realAt + i);
            long there = lanes.compare(VectorOperators.NE, 0f).toLong();
            while (there != 0) {
                int place = i + Long.numberOfTrailingZeros(there);
                input[count] = real[realAt + place];
                inputAt[count++] = place * BLOCK;
                there &= there - 1;
            }
        }
        for (; i < Features.WIDTH; i++) {
            if (real[realAt + i] != 0f) {
                input[count] = real[realAt + i];
                inputAt[count++] = i * BLOCK;
            }
        }
        for (int j = 0; j < hidden; j += L) {
            Lanes.of(row, rows.carry + j * Float.BYTES).intoArray(input, count + j);
        }
        for (int k = 0; k < hidden; k++) {
            inputAt[count + k] = (Features.WIDTH + k) * BLOCK;
        }
        return count + hidden;
    }

    /** One block of columns: to `from`, or nothing, `count` inputs times their rows of `matrix` are added. */
    private void multiply(float[] matrix, int at, int count, float[] from, int fromAt, float[] out, int outAt) {
        FloatVector a0;
        FloatVector a1;
        FloatVector a2;
        FloatVector a3;
        FloatVector a4;
        FloatVector a5;
        FloatVector a6;
        FloatVector a7;
        if (from == null) {
            a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = FloatVector.zero(S);
        } else {
            a0 = FloatVector.fromArray(S, from, fromAt);
            a1 = FloatVector.fromArray(S, from, fromAt + L);
            a2 = FloatVector.fromArray(S, from, fromAt + 2 * L);
            a3 = FloatVector.fromArray(S, from, fromAt + 3 * L);
            a4 = FloatVector.fromArray(S, from, fromAt + 4 * L);
            a5 = FloatVector.fromArray(S, from, fromAt + 5 * L);
            a6 = FloatVector.fromArray(S, from, fromAt + 6 * L);
            a7 = FloatVector.fromArray(S, from, fromAt + 7 * L);
        }
        for (int n = 0; n < count; n++) {
            int w = at + inputAt[n];
            FloatVector value = FloatVector.broadcast(S, input[n]);
            a0 = FloatVector.fromArray(S, matrix, w).fma(value, a0);
            a1 = FloatVector.fromArray(S, matrix, w + L).fma(value, a1);
            a2 = FloatVector.fromArray(S, matrix, w + 2 * L).fma(value, a2);
            a3 = FloatVector.fromArray(S, matrix, w + 3 * L).fma(value, a3);
            a4 = FloatVector.fromArray(S, matrix, w + 4 * L).fma(value, a4);
            a5 = FloatVector.fromArray(S, matrix, w + 5 * L).fma(value, a5);
            a6 = FloatVector.fromArray(S, matrix, w + 6 * L).fma(value, a6);
            a7 = FloatVector.fromArray(S, matrix, w + 7 * L).fma(value, a7);
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

    /** The gates, in PyTorch's order, move the row's h and c. */
    private void carry(byte[] row) {
        int h = rows.carry;
        int c = h + hidden * Float.BYTES;
        for (int j = 0; j < hidden; j += L) {
            FloatVector in = Lanes.sigmoid(FloatVector.fromArray(S, columns, j));
            FloatVector forget = Lanes.sigmoid(FloatVector.fromArray(S, columns, hidden + j));
            FloatVector candidate = Lanes.tanh(FloatVector.fromArray(S, columns, 2 * hidden + j));
            FloatVector kept = Lanes.of(row, c + j * Float.BYTES).fma(forget, in.mul(candidate));
            FloatVector out = Lanes.sigmoid(FloatVector.fromArray(S, columns, 3 * hidden + j));
            Lanes.into(kept, row, c + j * Float.BYTES);
            Lanes.into(out.mul(Lanes.tanh(kept)), row, h + j * Float.BYTES);
        }
    }

    private void intent(Batch batch, int i, int action, int features) {
        FloatVector sum = FloatVector.fromArray(S, directOfAction, action * L);
        FloatVector other = FloatVector.zero(S);
        int n = 0;
        for (; n + 1 < features; n += 2) { // two, since each waits for the one before
            sum = FloatVector.fromArray(S, direct, inputAt[n] / 8).fma(FloatVector.broadcast(S, input[n]), sum);
            other = FloatVector.fromArray(S, direct, inputAt[n + 1] / 8).fma(FloatVector.broadcast(S, input[n + 1]), other);
        }
        if (n < features) {
            sum = FloatVector.fromArray(S, direct, inputAt[n] / 8).fma(FloatVector.broadcast(S, input[n]), sum);
        }
        sum.add(other).intoArray(totals, 0);
        for (int k = 0; k < horizons; k++) {
            FloatVector dot = FloatVector.zero(S);
            for (int j = 0; j < hidden; j += L) {
                FloatVector h = Lanes.of(batch.rows[i], rows.carry + j * Float.BYTES);
                dot = FloatVector.fromArray(S, intent[k], j).fma(h, dot);
            }
            totals[k] += dot.reduceLanes(VectorOperators.ADD);
        }
        Lanes.sigmoid(FloatVector.fromArray(S, totals, 0)).intoArray(totals, 0);
        System.arraycopy(totals, 0, batch.intent, i * horizons, horizons);
    }

    private void nats(Batch batch, int i) {
        int at = i * Model.PARTS.length;
        for (int part = 0; part < Model.PARTS.length; part++) {
            int came = batch.classes[at + part];
            totals[part] = came == Model.NOTHING ? 1f : total(batch.classes, at, part, came);
        }
        for (int part = 0; part < Model.PARTS.length; part += L) {
            Lanes.log(FloatVector.fromArray(S, totals, part)).intoArray(totals, part);
        }
        System.arraycopy(totals, 0, batch.nats, at, Model.PARTS.length);
    }

    /** One over the probability of what came. */
    private float total(int[] classes, int at, int part, int came) {
        Given first = given[part];
        int firstAt = first.known == Model.NOTHING ? 0 : (1 + classes[at + first.known]) * padded[part];
        Given second = givenToo[part];
        int secondAt = second == null ? 0 : (1 + classes[at + second.known]) * padded[part];
        int begin = begins[part];
        float own = logits[begin + came] + first.table[firstAt + came];
        if (second != null) {
            own += second.table[secondAt + came];
        }
        FloatVector total = FloatVector.zero(S);
        for (int j = 0; j < padded[part]; j += L) {
            FloatVector logit = FloatVector.fromArray(S, logits, begin + j).add(FloatVector.fromArray(S, first.table, firstAt + j));
            if (second != null) {
                logit = logit.add(FloatVector.fromArray(S, second.table, secondAt + j));
            }
            total = total.add(Lanes.exp(logit.sub(own)));
        }
        return total.reduceLanes(VectorOperators.ADD);
    }

    private static int wholeBlocks(int columns) {
        return (columns + BLOCK - 1) / BLOCK;
    }

    /** Matrices with the same columns, one below the other, in blocks. */
    private static float[] blocks(float[][]... matrices) {
        int count = Arrays.stream(matrices).mapToInt(matrix -> matrix.length).sum();
        int columns = matrices[0][0].length;
        float[] blocks = new float[wholeBlocks(columns) * count * BLOCK];
        int row = 0;
        for (float[][] matrix : matrices) {
            for (float[] values : matrix) {
                for (int column = 0; column < columns; column++) {
                    blocks[(column / BLOCK * count + row) * BLOCK + column % BLOCK] = values[column];
                }
                row++;
            }
        }
        return blocks;
    }

    /** Without the first columns of the given. */
    private static float[][] transposed(float[][] matrix, int first) {
        float[][] transposed = new float[matrix[0].length - first][matrix.length];
        for (int row = 0; row < matrix.length; row++) {
            for (int column = first; column < matrix[0].length; column++) {
                transposed[column - first][row] = matrix[row][column];
            }
        }
        return transposed;
    }

    /** [actions, columns] bias and what the numbers of each action add, which are the first columns of `x`. */
    private static float[] byAction(float[][] numbers, float[][] x, float[] bias, int columns) {
        float[] table = new float[numbers.length * columns];
        for (int action = 0; action < numbers.length; action++) {
            for (int column = 0; column < x.length; column++) {
                double sum = bias[column];
                for (int i = 0; i < numbers[action].length; i++) {
                    sum += (double) numbers[action][i] * x[column][i];
                }
                table[action * columns + column] = (float) sum;
            }
        }
        return table;
    }
}
