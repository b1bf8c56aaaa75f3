package peer;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * Written by hand on the Vector API.
 *
 * <p>For one user at a time the products would wait for the second-level cache, so a part of a matrix that the first level
 * holds is used for all users of a batch before the next one is. Features that are 0 are skipped, and most are (whether
 * one of eight items is the same, counts that have faded). A softmax needs no maximum: logits are taken relative to that
 * of the class that came.
 */
final class VectorNetwork implements Network {
    static final int CAPACITY = 64; // what a batch works on has to fit into the second-level cache beside the weights
    private static final int L = Lanes.WIDTH;
    private static final int BLOCK = Kernels.BLOCK;
    private static final int ROWS_AT_ONCE = (16 << 10) / Kernels.ROW; // half of the first-level cache
    private static final int PARTS = Model.PARTS.length;
    private static final int FEATURES = Features.WIDTH;

    private final VectorWeights w;
    private final Rows rows;
    private final int hidden;
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

    VectorNetwork(VectorWeights weights, Rows rows) {
        w = weights;
        this.rows = rows;
        hidden = w.hidden;
        h = new float[CAPACITY * hidden];
        c = new float[CAPACITY * hidden];
        columns = new float[CAPACITY * w.gateColumns];
        logits = new float[CAPACITY * w.expectedColumns + BLOCK]; // the last part is read on to whole lanes
        relative = new float[CAPACITY * w.paddedColumns];
        totals = new float[VectorWeights.whole(CAPACITY * PARTS, L)];
        intents = new float[VectorWeights.whole(CAPACITY * w.horizons, L)];
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
            int action = batch.events[i].action * w.gateColumns;
            System.arraycopy(w.gatesOfAction, action, columns, i * w.gateColumns, w.gateColumns);
            counts[i] = Kernels.chosen(batch.real, i * FEATURES, FEATURES, places, values, i * FEATURES);
        }
        for (int block = 0; block < w.gateColumns / BLOCK; block++) {
            for (int i = 0; i < size; i++) {
                Kernels.addChosen(
                    w.gatesOfFeatures, (long) block * FEATURES * Kernels.ROW, values, places, i * FEATURES, counts[i], columns,
                    i * w.gateColumns + block * BLOCK);
            }
        }
        addH(w.gatesOfH, columns, w.gateColumns, size);
        Kernels.sigmoid(columns, size * w.gateColumns);
        for (int i = 0; i < size; i++) {
            Kernels.carry(columns, i * w.gateColumns, h, c, i * hidden, hidden);
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
        Arrays.fill(logits, 0, size * w.expectedColumns, 0f);
        addH(w.expectedOfH, logits, w.expectedColumns, size);
        for (int i = 0; i < size; i++) {
            for (int part = 0; part < PARTS; part++) {
                relative(batch.classes, i * PARTS, part, i * w.expectedColumns, i * w.paddedColumns + w.paddedBegins[part]);
            }
        }
        Kernels.exp(relative, size * w.paddedColumns);
        for (int i = 0; i < size; i++) {
            for (int part = 0; part < PARTS; part++) { // one over the probability of what came
                boolean nothing = batch.classes[i * PARTS + part] == Model.NOTHING;
                totals[i * PARTS + part] = nothing
                    ? 1f
                    : Kernels.total(relative, i * w.paddedColumns + w.paddedBegins[part], w.padded[part]);
            }
        }
        int end = size * PARTS;
        Arrays.fill(totals, end, VectorWeights.whole(end, L), 1f);
        Kernels.log(totals, end);
        System.arraycopy(totals, 0, batch.nats, 0, end);
    }

    /** The logits of a part, relative to that of the class that came. */
    private void relative(int[] classes, int at, int part, int logitsAt, int out) {
        int came = Math.max(0, classes[at + part]);
        VectorWeights.Given one = w.given[part];
        VectorWeights.Given other = w.givenToo[part];
        int oneAt = one.row(classes, at, w.padded[part]);
        int otherAt = other.row(classes, at, w.padded[part]);
        int begin = logitsAt + w.begins[part];
        float own = logits[begin + came] + one.table()[oneAt + came] + other.table()[otherAt + came];
        Kernels.sum(logits, begin, one.table(), oneAt, other.table(), otherAt, own, relative, out, w.padded[part]);
    }

    private void intent(Batch batch, int size) {
        for (int i = 0; i < size; i++) {
            int action = batch.events[i].action * w.horizons;
            for (int k = 0; k < w.horizons; k++) {
                float sum = w.intentOfAction[action + k];
                for (int n = i * FEATURES; n < i * FEATURES + counts[i]; n++) {
                    sum += values[n] * w.intentOfFeatures[places[n] * w.horizons + k];
                }
                intents[i * w.horizons + k] = sum + Kernels.dot(w.intentOfH[k], h, i * hidden, hidden);
            }
        }
        Kernels.sigmoid(intents, size * w.horizons);
        System.arraycopy(intents, 0, batch.intent, 0, size * w.horizons);
    }
}
