package peer;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * Written by hand on the Vector API.
 *
 * <p>A matrix lies in blocks of as many columns as eight registers hold, and within a block row by row, so that the inner
 * loop is a broadcast and eight fused multiply-adds from one running address. For one user at a time that would wait for
 * the second-level cache, so a part of the matrix that the first level holds is used for all users of a batch before the
 * next one is. Features that are 0 are skipped, and most are (whether one of eight items is the same, counts that have
 * faded). The numbers of an action and all biases are multiplied out beforehand. A softmax needs no maximum: logits are
 * taken relative to that of the class that came.
 */
final class VectorNetwork implements Network {
    static final int CAPACITY = 64; // what a batch works on has to fit into the second-level cache beside the weights
    private static final int L = Lanes.WIDTH;
    private static final int BLOCK = Kernels.BLOCK;
    private static final int ROWS_AT_ONCE = (16 << 10) / Kernels.ROW; // half of the first-level cache
    private static final float ABSENT = -1e30f; // the logit of a class that a part does not have
    private static final int PARTS = Model.PARTS.length;
    private static final int FEATURES = Features.WIDTH;

    /** What part `known` says about the logits of another: a row for each of its classes, the first for NOTHING. */
    private record Given(float[] table, int known) {
        int row(int[] classes, int at, int padded) {
            return known == Model.NOTHING ? 0 : (1 + classes[at + known]) * padded;
        }
    }

    private final int hidden;
    private final Rows rows;
    private final MemorySegment gatesOfFeatures; // blocks of [features, BLOCK]
    private final MemorySegment gatesOfH; // blocks of [h, BLOCK]
    private final float[] gatesOfAction; // [actions, gate columns]
    private final int gateColumns;
    private final MemorySegment expectedOfH; // blocks of [h, BLOCK]
    private final int expectedColumns;
    private final float[] intentOfFeatures; // [features, horizons]
    private final float[] intentOfAction; // [actions, horizons]
    private final float[][] intentOfH; // [horizons, h]
    private final int horizons;
    // Of each part of the surprise
    private final int[] begins = new int[PARTS];
    private final int[] padded = new int[PARTS];
    private final int[] paddedBegins = new int[PARTS];
    private final Given[] given = new Given[PARTS];
    private final Given[] givenToo = new Given[PARTS];

    // What a step works on
    private final float[] h;
    private final float[] c;
    private final float[] columns;
    private final float[] logits;
    private final float[] relative;
    private final int[] places = new int[CAPACITY * FEATURES];
    private final float[] values = new float[CAPACITY * FEATURES];
    private final int[] counts = new int[CAPACITY];
    private final float[] totals;
    private final float[] intents;

    VectorNetwork(Model model, Rows rows) {
        this.rows = rows;
        hidden = model.hidden;
        horizons = model.horizons.length;
        if (hidden % L != 0) {
            throw new IllegalArgumentException("model: expected a multiple of " + L + " units, got " + hidden);
        }
        float[][] numbers = model.tensor("action.weight");
        float[][] ofX = model.tensor("recurrent.weight_ih_l0");
        float[][] ofH = model.tensor("recurrent.weight_hh_l0");
        float[] bias = model.tensor("recurrent.bias_ih_l0")[0];
        float[] other = model.tensor("recurrent.bias_hh_l0")[0];
        for (int i = 0; i < bias.length; i++) {
            bias[i] += other[i];
        }
        for (int i = 2 * hidden; i < 3 * hidden; i++) { // for a tanh by a sigmoid of twice the number
            bias[i] *= 2;
            doubled(ofX[i]);
            doubled(ofH[i]);
        }
        gateColumns = whole(4 * hidden, BLOCK);
        gatesOfFeatures = Kernels.aligned(blocks(transposed(ofX, model.actionNumbers)));
        gatesOfH = Kernels.aligned(blocks(transposed(ofH, 0)));
        gatesOfAction = byAction(numbers, ofX, bias, gateColumns);

        intentOfH = model.tensor("intent.weight");
        float[][] direct = model.tensor("intent_direct.weight");
        intentOfFeatures = new float[FEATURES * horizons];
        for (int i = 0; i < intentOfFeatures.length; i++) {
            intentOfFeatures[i] = direct[i % horizons][model.actionNumbers + i / horizons];
        }
        intentOfAction = byAction(numbers, direct, model.tensor("intent.bias")[0], horizons);

        float[] expected = blocks(transposed(model.tensor("next_event.weight"), 0));
        expectedOfH = Kernels.aligned(expected);
        expectedColumns = expected.length / hidden;
        int paddedColumns = surprise(model);

        h = new float[CAPACITY * hidden];
        c = new float[CAPACITY * hidden];
        columns = new float[CAPACITY * gateColumns];
        logits = new float[CAPACITY * expectedColumns + BLOCK]; // the last part is read on to whole lanes
        relative = new float[CAPACITY * paddedColumns];
        totals = new float[whole(CAPACITY * PARTS, L)];
        intents = new float[whole(CAPACITY * horizons, L)];
    }

    /** Tables of what is given, with biases -> columns of all parts, each padded to whole lanes. */
    private int surprise(Model model) {
        float[] bias = model.tensor("next_event.bias")[0];
        int begin = 0;
        int paddedBegin = 0;
        for (int part = 0; part < PARTS; part++) {
            begins[part] = begin;
            padded[part] = whole(model.partClasses[part], L);
            paddedBegins[part] = paddedBegin;
            given[part] = givenToo[part] = new Given(new float[padded[part]], Model.NOTHING);
            boolean first = true;
            for (int i = 0; i < Model.GIVEN.length; i++) {
                if (Model.GIVEN[i][0] == part) {
                    Given said = table(model.tensor("given." + i + ".weight"), Model.GIVEN[i][1], padded[part]);
                    (first ? given : givenToo)[part] = said;
                    first = false;
                }
            }
            float[] table = given[part].table.clone();
            for (int i = 0; i < table.length; i++) {
                int of = i % padded[part];
                table[i] = of < model.partClasses[part] ? table[i] + bias[begin + of] : ABSENT;
            }
            given[part] = new Given(table, given[part].known);
            begin += model.partClasses[part];
            paddedBegin += padded[part];
        }
        return paddedBegin;
    }

    @Override
    public void step(Batch batch) {
        int size = batch.size;
        for (int i = 0; i < size; i++) {
            Kernels.copy(batch.rows[i], rows.carry, h, i * hidden, hidden);
            Kernels.copy(batch.rows[i], rows.carry + hidden * Float.BYTES, c, i * hidden, hidden);
        }
        nats(batch, size); // of what was expected before the event
        for (int i = 0; i < size; i++) {
            int action = batch.events[i].action * gateColumns;
            System.arraycopy(gatesOfAction, action, columns, i * gateColumns, gateColumns);
            counts[i] = Kernels.chosen(batch.real, i * FEATURES, FEATURES, places, values, i * FEATURES);
        }
        for (int block = 0; block < gateColumns / BLOCK; block++) {
            for (int i = 0; i < size; i++) {
                Kernels.addChosen(
                    gatesOfFeatures, (long) block * FEATURES * Kernels.ROW, values, places, i * FEATURES, counts[i], columns,
                    i * gateColumns + block * BLOCK);
            }
        }
        addH(gatesOfH, columns, gateColumns, size);
        Kernels.sigmoid(columns, size * gateColumns);
        for (int i = 0; i < size; i++) {
            Kernels.carry(columns, i * gateColumns, h, c, i * hidden, hidden);
            Kernels.copy(h, i * hidden, batch.rows[i], rows.carry, hidden);
            Kernels.copy(c, i * hidden, batch.rows[i], rows.carry + hidden * Float.BYTES, hidden);
        }
        intent(batch, size);
    }

    /** h of all users times a matrix, a part of it after the other. */
    private void addH(MemorySegment matrix, float[] out, int outColumns, int size) {
        for (int block = 0; block < outColumns / BLOCK; block++) {
            for (int row = 0; row < hidden; row += ROWS_AT_ONCE) {
                int count = Math.min(ROWS_AT_ONCE, hidden - row);
                long at = (long) (block * hidden + row) * Kernels.ROW;
                for (int i = 0; i < size; i++) {
                    Kernels.addRows(matrix, at, h, i * hidden + row, count, out, i * outColumns + block * BLOCK);
                }
            }
        }
    }

    private void nats(Batch batch, int size) {
        Arrays.fill(logits, 0, size * expectedColumns, 0f);
        addH(expectedOfH, logits, expectedColumns, size);
        int paddedColumns = paddedBegins[PARTS - 1] + padded[PARTS - 1];
        for (int i = 0; i < size; i++) {
            for (int part = 0; part < PARTS; part++) {
                relative(batch.classes, i * PARTS, part, i * expectedColumns, i * paddedColumns + paddedBegins[part]);
            }
        }
        Kernels.exp(relative, size * paddedColumns);
        for (int i = 0; i < size; i++) {
            for (int part = 0; part < PARTS; part++) { // one over the probability of what came
                boolean nothing = batch.classes[i * PARTS + part] == Model.NOTHING;
                totals[i * PARTS + part] = nothing
                    ? 1f
                    : Kernels.total(relative, i * paddedColumns + paddedBegins[part], padded[part]);
            }
        }
        int end = size * PARTS;
        Arrays.fill(totals, end, whole(end, L), 1f);
        Kernels.log(totals, end);
        System.arraycopy(totals, 0, batch.nats, 0, end);
    }

    /** The logits of a part, relative to that of the class that came. */
    private void relative(int[] classes, int at, int part, int logitsAt, int out) {
        int came = Math.max(0, classes[at + part]);
        Given one = given[part];
        Given other = givenToo[part];
        int oneAt = one.row(classes, at, padded[part]);
        int otherAt = other.row(classes, at, padded[part]);
        int begin = logitsAt + begins[part];
        float own = logits[begin + came] + one.table[oneAt + came] + other.table[otherAt + came];
        Kernels.sum(logits, begin, one.table, oneAt, other.table, otherAt, own, relative, out, padded[part]);
    }

    private void intent(Batch batch, int size) {
        for (int i = 0; i < size; i++) {
            int action = batch.events[i].action * horizons;
            for (int k = 0; k < horizons; k++) {
                float sum = intentOfAction[action + k];
                for (int n = i * FEATURES; n < i * FEATURES + counts[i]; n++) {
                    sum += values[n] * intentOfFeatures[places[n] * horizons + k];
                }
                intents[i * horizons + k] = sum + Kernels.dot(intentOfH[k], h, i * hidden, hidden);
            }
        }
        Kernels.sigmoid(intents, size * horizons);
        System.arraycopy(intents, 0, batch.intent, 0, size * horizons);
    }

    private static Given table(float[][] said, int known, int padded) {
        float[] table = new float[said.length * padded];
        for (int row = 0; row < said.length; row++) {
            System.arraycopy(said[row], 0, table, row * padded, said[row].length);
        }
        return new Given(table, known);
    }

    private static int whole(int number, int of) {
        return (number + of - 1) / of * of;
    }

    private static void doubled(float[] numbers) {
        for (int i = 0; i < numbers.length; i++) {
            numbers[i] *= 2;
        }
    }

    private static float[] blocks(float[][] matrix) {
        int columns = matrix[0].length;
        float[] blocks = new float[whole(columns, BLOCK) * matrix.length];
        for (int row = 0; row < matrix.length; row++) {
            for (int column = 0; column < columns; column++) {
                blocks[(column / BLOCK * matrix.length + row) * BLOCK + column % BLOCK] = matrix[row][column];
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
