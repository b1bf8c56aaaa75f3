package peer;

/**
 * An event and what its user did before -> the model's real-valued features and the classes of what came, as
 * {@code stream/features.py} and {@code stream/habits.py} say; and the row moved on by the event, but for its carry and
 * strain.
 */
final class Features {
    private static final int RECENT = 8;
    private static final int SAME_ITEM = 12;
    private static final int SAME_CATEGORY = SAME_ITEM + RECENT;
    private static final int COUNTS = SAME_CATEGORY + RECENT;
    static final int WIDTH = COUNTS + Rows.SCALES * Rows.BUCKETS;
    private static final int OTHER = RECENT + 1; // an item or category that none of the last events had

    private static final int[] GAP_EDGES_S = {
        1, 2, 4, 8, 15, 30, 60, 120, 300, 900, 1800, 3600, 7200, 14400, 28800, 57600, 86400, 172800, 345600, 691200,
        1382400, 2764800,
    };
    private static final double[] RHYTHM_EDGES = {0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2};
    private static final double[] PRICE_EDGES = {
        -6, -5, -4, -3, -2, -1, -0.5, -0.2, -0.02, 0.02, 0.2, 0.5, 1, 2, 3, 4, 5, 6, 8,
    };
    private static final double[] FIRST_PRICE_EDGES = {-3, -2, -1, 0, 1, 2, 3, 4, 6};
    private static final float[] SCALES_S = {60f, 900f, 14_400f, 259_200f};
    private static final int RHYTHM_GAPS = 3;
    private static final double BLINK_S = 0.05; // added to both gaps of a ratio
    private static final int PRICES_KEPT = 32;
    private static final int DAY_MS = 86_400_000;
    private static final int MINUTES = 1440;
    private static final double PER_MS = 2 * Math.PI / DAY_MS;

    private final long[] gapEdgesMs = new long[GAP_EDGES_S.length];
    private final double[] rhythmRatios = new double[RHYTHM_EDGES.length];
    private final double[] minuteSin = new double[MINUTES];
    private final double[] minuteCos = new double[MINUTES];
    private final float[] ones = new float[Rows.BUCKETS * Rows.BUCKETS]; // of each bucket: 1 there, 0 elsewhere
    private final float[] fading = new float[Math.max(Lanes.WIDTH, Rows.SCALES)];
    private final Rows rows;
    private final Model model;

    /** Whether the event taken last was older than one that its user had before. */
    boolean late;

    Features(Model model, Rows rows) {
        this.model = model;
        this.rows = rows;
        for (int i = 0; i < GAP_EDGES_S.length; i++) {
            gapEdgesMs[i] = GAP_EDGES_S[i] * 1000L;
        }
        for (int bucket = 0; bucket < Rows.BUCKETS; bucket++) {
            ones[bucket * Rows.BUCKETS + bucket] = 1f;
        }
        for (int i = 0; i < RHYTHM_EDGES.length; i++) {
            rhythmRatios[i] = Math.exp(RHYTHM_EDGES[i]);
        }
        for (int minute = 0; minute < MINUTES; minute++) {
            minuteSin[minute] = Math.sin(minute * 60_000 * PER_MS);
            minuteCos[minute] = Math.cos(minute * 60_000 * PER_MS);
        }
    }

    /** Fills WIDTH of `real` and the parts of `classes` from these places on. */
    void take(Event event, byte[] row, float[] real, int realAt, int[] classes, int classesAt) {
        long seen = Rows.getLong(row, Rows.SEEN);
        long highMs = Rows.getLong(row, Rows.LAST_TIME);
        boolean first = seen == 0;
        late = event.timeMs < highMs;
        long gapMs = first ? 0 : Math.max(event.timeMs - highMs, 0);

        real[realAt] = first ? 0f : (float) ((Math.log(1 + gapMs / 1000.0) - model.gapMean) / model.gapStd);
        real[realAt + 2] = first ? 1f : 0f;
        hour(event.timeMs, real, realAt);
        count(row, gapMs, event.action % Rows.BUCKETS, real, realAt + COUNTS);
        price(row, event.price, real, realAt, classes, classesAt);
        recent(row, seen, event, real, realAt, classes, classesAt);
        int places = visit(row, Rows.KNOWN, event.device) | visit(row, Rows.KNOWN + 8, event.country) << 1
            | visit(row, Rows.KNOWN + 16, event.place) << 2;
        for (int i = 0; i < Rows.WHEREABOUTS; i++) {
            real[realAt + 9 + i] = places >> i & 1;
        }
        classes[classesAt + Model.ACTION] = event.action;
        classes[classesAt + Model.GAP] = first ? Model.NOTHING : atOrAbove(gapMs);
        classes[classesAt + Model.CONTEXT] = first ? Model.NOTHING : places;
        rows.append(row, seen, event);
    }

    /** sin and cos of the time of day: those of its minute, turned on by the little that is left. */
    private void hour(long timeMs, float[] real, int realAt) {
        int ofDay = (int) (timeMs % DAY_MS);
        int minute = ofDay / 60_000;
        double rest = (ofDay - minute * 60_000) * PER_MS; // below 0.0044
        double sin = rest - rest * rest * rest / 6;
        double cos = 1 - rest * rest / 2;
        real[realAt + 7] = (float) (minuteSin[minute] * cos + minuteCos[minute] * sin);
        real[realAt + 8] = (float) (minuteCos[minute] * cos - minuteSin[minute] * sin);
    }

    private void count(byte[] row, long gapMs, int bucket, float[] real, int realAt) {
        for (int scale = 0; scale < Rows.SCALES; scale++) {
            fading[scale] = gapMs / -1000f / SCALES_S[scale];
        }
        Kernels.exp(fading, Rows.SCALES);
        Kernels.count(row, Rows.COUNTS, fading, ones, bucket * Rows.BUCKETS, real, realAt);
    }

    private void price(byte[] row, float price, float[] real, int realAt, int[] classes, int classesAt) {
        float variance = Rows.getFloat(row, Rows.PRICE_VARIANCE);
        real[realAt + 5] = (float) Math.sqrt(variance);
        if (price != price) {
            real[realAt + 1] = real[realAt + 4] = 0f;
            real[realAt + 3] = 1f;
            classes[classesAt + Model.PRICE] = 0;
            return;
        }
        float prices = Rows.getFloat(row, Rows.PRICES);
        float mean = Rows.getFloat(row, Rows.PRICE_MEAN);
        double logPrice = Math.log(1.0 + price);
        double standard = (logPrice - model.priceMean) / model.priceStd;
        double away = logPrice - mean;
        boolean known = prices > 0;
        real[realAt + 1] = (float) standard;
        real[realAt + 3] = 0f;
        real[realAt + 4] = known ? (float) Math.max(-5.0, Math.min(5.0, away)) : 0f;
        classes[classesAt + Model.PRICE] = known
            ? 1 + atOrAbove(PRICE_EDGES, away)
            : 2 + PRICE_EDGES.length + atOrAbove(FIRST_PRICE_EDGES, standard);
        float weight = 1f / Math.min(prices + 1f, PRICES_KEPT);
        double moved = variance + (known ? weight * away * away : 0.0);
        Rows.setFloat(row, Rows.PRICE_VARIANCE, (float) ((1f - weight) * moved));
        Rows.setFloat(row, Rows.PRICE_MEAN, (float) (mean + weight * away));
        Rows.setFloat(row, Rows.PRICES, prices + 1f);
    }

    /** Items, categories and times of the last few events, beside those of this one. */
    private void recent(byte[] row, long seen, Event event, float[] real, int realAt, int[] classes, int classesAt) {
        int sameItem = OTHER;
        int sameCategory = OTHER;
        for (int k = RECENT; k > 0; k--) {
            boolean there = seen >= k;
            int at = there ? rows.place(seen - k) : 0;
            boolean item = there && event.item != 0 && Rows.getInt(row, at + Rows.ITEM) == event.item;
            boolean category = there && event.category != 0 && Rows.getInt(row, at + Rows.CATEGORY) == event.category;
            real[realAt + SAME_ITEM + k - 1] = item ? 1f : 0f;
            real[realAt + SAME_CATEGORY + k - 1] = category ? 1f : 0f;
            sameItem = item ? k : sameItem;
            sameCategory = category ? k : sameCategory;
        }
        classes[classesAt + Model.ITEM] = event.item == 0 ? 0 : sameItem;
        classes[classesAt + Model.CATEGORY] = event.category == 0 ? 0 : sameCategory;

        classes[classesAt + Model.RHYTHM] = Model.NOTHING;
        real[realAt + 6] = 0f;
        if (seen < RHYTHM_GAPS) {
            return;
        }
        long shortest = Long.MAX_VALUE;
        long longest = Long.MIN_VALUE;
        long after = event.timeMs;
        for (int k = 1; k <= RHYTHM_GAPS; k++) {
            long before = Rows.getLong(row, rows.place(seen - k) + Rows.TIME);
            shortest = Math.min(shortest, after - before);
            longest = Math.max(longest, after - before);
            after = before;
        }
        if (shortest < 0) {
            return;
        }
        double ratio = (longest / 1000.0 + BLINK_S) / (shortest / 1000.0 + BLINK_S);
        real[realAt + 6] = (float) (1 / (ratio * ratio)); // e^(-2 ln ratio)
        classes[classesAt + Model.RHYTHM] = atOrAbove(rhythmRatios, ratio);
    }

    /** The place becomes the latest of those known from `at` on -> 1 if it was not among them and some were, else 0. */
    private static int visit(byte[] row, int at, int place) {
        int latest = Rows.getShort(row, at);
        if (place == 0 || place == latest) {
            return 0;
        }
        int last = Rows.KNOWN_PLACES - 1;
        int found = 1;
        while (found < last && Rows.getShort(row, at + 2 * found) != place) {
            found++;
        }
        boolean known = Rows.getShort(row, at + 2 * found) == place;
        for (int i = found; i > 0; i--) { // what is found moves up, else the last goes
            Rows.setShort(row, at + 2 * i, Rows.getShort(row, at + 2 * (i - 1)));
        }
        Rows.setShort(row, at, place);
        return known || latest == 0 ? 0 : 1;
    }

    /** How many of the edges are not above it. */
    private int atOrAbove(long gapMs) {
        int edges = 0;
        for (long edge : gapEdgesMs) {
            edges += gapMs >= edge ? 1 : 0;
        }
        return edges;
    }

    private static int atOrAbove(double[] sorted, double value) {
        int edges = 0;
        for (double edge : sorted) {
            edges += value >= edge ? 1 : 0;
        }
        return edges;
    }
}
