package peer;

import java.lang.foreign.MemorySegment;

/**
 * A model's weights as {@link VectorNetwork} reads them, shared by all tasks.
 *
 * <p>A matrix lies in blocks of as many columns as eight registers hold, and within a block row by row, so that the inner
 * loop is a broadcast and eight fused multiply-adds from one running address. The numbers of an action and all biases are
 * multiplied out beforehand.
 */
final class VectorWeights {
    private static final int L = Lanes.WIDTH;
    private static final int BLOCK = Kernels.BLOCK;
    private static final float ABSENT = -1e30f; // the logit of a class that a part does not have
    private static final int PARTS = Model.PARTS.length;
    private static final int FEATURES = Features.WIDTH;

    /** What part `known` says about the logits of another: a row for each of its classes, the first for NOTHING. */
    record Given(float[] table, int known) {
        int row(int[] classes, int at, int padded) {
            return known == Model.NOTHING ? 0 : (1 + classes[at + known]) * padded;
        }
    }

    final int hidden;
    final MemorySegment gatesOfFeatures; // blocks of [features, BLOCK]
    final MemorySegment gatesOfH; // blocks of [h, BLOCK]
    final float[] gatesOfAction; // [actions, gate columns]
    final int gateColumns;
    final MemorySegment expectedOfH; // blocks of [h, BLOCK]
    final int expectedColumns;
    final float[] intentOfFeatures; // [features, horizons]
    final float[] intentOfAction; // [actions, horizons]
    final float[][] intentOfH; // [horizons, h]
    final int horizons;
    // Of each part of the surprise
    final int[] begins = new int[PARTS];
    final int[] padded = new int[PARTS];
    final int[] paddedBegins = new int[PARTS];
    final Given[] given = new Given[PARTS];
    final Given[] givenToo = new Given[PARTS];
    final int paddedColumns;

    VectorWeights(Model model) {
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
        paddedColumns = surprise(model);
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

    private static Given table(float[][] said, int known, int padded) {
        float[] table = new float[said.length * padded];
        for (int row = 0; row < said.length; row++) {
            System.arraycopy(said[row], 0, table, row * padded, said[row].length);
        }
        return new Given(table, known);
    }

    static int whole(int number, int of) {
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
