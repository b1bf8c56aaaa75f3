package peer;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Arrays;

/** Nats of surprise -> strain and anomaly, as {@code stream/anomaly.py} says. */
final class Anomaly {
    private static final double TAIL_FROM = 0.99;
    private static final int[] SHARP = {Model.ACTION, Model.PRICE, Model.CONTEXT};
    private static final double[] STRAIN_WEIGHTS = {1.0, 0.5, 0.5}; // of these parts
    private static final float KEPT = 0.98f;
    private static final float KEPT_SQUARED = (float) (0.98 * 0.98);
    private static final double USUAL = 1.1;
    private static final double EVEN = 4.0;
    private static final double EVEN_WEIGHT = 0.5;
    private static final double SINGLE_LESS = Math.log(7);
    private static final double TAIL_RARITY = -Math.log1p(-TAIL_FROM);

    /** Of a number over normal traffic. */
    private static final class Distribution {
        private static final int FINE = 16;

        private final double[] quantiles; // with infinity to a whole number of blocks
        private final double[] coarse; // the first of each block
        private final int points;
        private final double last;
        private final double scale;
        private final double shape;

        Distribution(JsonNode told) {
            points = told.get("quantiles").size();
            quantiles = new double[(points + FINE - 1) / FINE * FINE];
            Arrays.fill(quantiles, Double.POSITIVE_INFINITY);
            for (int i = 0; i < points; i++) {
                quantiles[i] = told.get("quantiles").get(i).asDouble();
            }
            last = quantiles[points - 1];
            coarse = new double[(quantiles.length / FINE + FINE - 1) / FINE * FINE];
            Arrays.fill(coarse, Double.POSITIVE_INFINITY);
            for (int i = 0; i < quantiles.length; i += FINE) {
                coarse[i / FINE] = quantiles[i];
            }
            scale = told.get("tail_scale").asDouble();
            shape = told.get("tail_shape").asDouble();
        }

        /** -ln of the share that has more; the logarithm of the body is left to the caller. */
        boolean isTail(double number) {
            return number > last;
        }

        double tailRarity(double number) {
            double excess = (number - last) / scale;
            return Math.log(1 + shape * excess) / shape + TAIL_RARITY;
        }

        /** The share of normal traffic that has less, below the tail. */
        double share(double number) {
            // q[low] <= number < q[low + 1], of equal ones the last: first among every 16th, then among 16
            int block = Kernels.atMost(coarse, 0, coarse.length, number) - 1;
            if (block < 0) {
                return 0;
            }
            int low = block * FINE + Kernels.atMost(quantiles, block * FINE, FINE, number) - 1;
            double step = TAIL_FROM / (points - 1);
            if (low >= points - 1) {
                return TAIL_FROM;
            }
            return step * (low + (number - quantiles[low]) / (quantiles[low + 1] - quantiles[low]));
        }

        double rarity(double number) {
            return isTail(number) ? tailRarity(number) : -Math.log(1 - share(number));
        }

        double below(double number) {
            return isTail(number) ? 1 - Math.exp(-tailRarity(number)) : share(number);
        }
    }

    private final double[] usual = new double[SHARP.length];
    private final Distribution[] parts = new Distribution[SHARP.length];
    private final Distribution sharp;
    private final Distribution strain;
    private final Distribution rarity;

    Anomaly(JsonNode normal) {
        for (int i = 0; i < SHARP.length; i++) {
            usual[i] = USUAL * normal.get("part_means").get(SHARP[i]).asDouble();
            parts[i] = new Distribution(normal.get("parts").get(i));
        }
        sharp = new Distribution(normal.get("sharp"));
        strain = new Distribution(normal.get("strain"));
        rarity = new Distribution(normal.get("rarity"));
    }

    /** The strain with an event whose nats begin at `at`; the row's moves on. */
    double strained(byte[] row, float[] nats, int at) {
        double beyond = 0;
        for (int i = 0; i < SHARP.length; i++) {
            beyond += STRAIN_WEIGHTS[i] * (nats[at + SHARP[i]] - usual[i]);
        }
        beyond += EVEN_WEIGHT * Math.max(nats[at + Model.RHYTHM] - EVEN, 0.0);
        float total = KEPT * Rows.getFloat(row, Rows.STRAIN) + (float) beyond;
        float weight = KEPT_SQUARED * Rows.getFloat(row, Rows.STRAIN_WEIGHT) + 1f;
        Rows.setFloat(row, Rows.STRAIN, total);
        Rows.setFloat(row, Rows.STRAIN_WEIGHT, weight);
        return total / (float) Math.sqrt(weight + 1f);
    }

    /** In [0, 1]. */
    double anomaly(float[] nats, int at, double strained) {
        double body = 0;
        double tail = 0;
        for (int i = 0; i < SHARP.length; i++) { // one logarithm for all that are below their tails
            double number = nats[at + SHARP[i]];
            if (parts[i].isTail(number)) {
                tail = Math.max(tail, parts[i].tailRarity(number));
            } else {
                body = Math.max(body, parts[i].share(number));
            }
        }
        double sharpest = tail > 0 ? tail : -Math.log(1 - body);
        double rarer = Math.max(sharp.rarity(sharpest) - SINGLE_LESS, strain.rarity(strained));
        return rarity.below(rarer);
    }
}
