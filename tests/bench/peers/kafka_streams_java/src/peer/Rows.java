package peer;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * The row of a user as bytes, laid out as {@code stream/rows.py} says: what is in the store, in the changelog, and in the
 * heap too, where it is read and written in place. So there is nothing to serialise.
 */
final class Rows {
    static final int SCALES = 4;
    static final int BUCKETS = 16;
    static final int WHEREABOUTS = 3;
    static final int KNOWN_PLACES = 4;

    private static final int FORMAT = 2;
    private static final int PARTS = 2; // h and c

    private static final int HIDDEN_AT = 4;
    private static final int SEQUENCE_AT = 6;
    private static final int MODEL_AT = 8;
    static final int SEEN = 16;
    static final int LAST_TIME = 24;
    private static final int OFFSETS = 32;
    static final int COUNTS = 68;
    static final int PRICES = COUNTS + SCALES * BUCKETS * Float.BYTES;
    static final int PRICE_MEAN = PRICES + 4;
    static final int PRICE_VARIANCE = PRICES + 8;
    static final int STRAIN = PRICES + 12;
    static final int STRAIN_WEIGHT = PRICES + 16;
    static final int KNOWN = PRICES + 20;
    private static final int RAW = KNOWN + WHEREABOUTS * KNOWN_PLACES * Short.BYTES;
    // Within a raw event
    private static final int RAW_BYTES = 35;
    static final int TIME = 0;
    static final int HASH = 8;
    static final int ITEM = 16;
    static final int CATEGORY = 20;
    private static final int PRICE = 24;
    private static final int PLACES = 28;
    private static final int ACTION = 34;

    private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle INTS = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle FLOATS = MethodHandles.byteArrayViewVarHandle(float[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle SHORTS = MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);

    final int sequence;
    final int hidden;
    final int carry; // where h begins; c follows it
    private final byte[] blank;

    Rows(int sequence, int hidden, long model) {
        this.sequence = sequence;
        this.hidden = hidden;
        carry = RAW + sequence * RAW_BYTES;
        blank = new byte[carry + PARTS * hidden * Float.BYTES];
        blank[0] = FORMAT;
        blank[1] = PARTS;
        SHORTS.set(blank, 2, (short) 1); // layers
        SHORTS.set(blank, HIDDEN_AT, (short) hidden);
        SHORTS.set(blank, SEQUENCE_AT, (short) sequence);
        LONGS.set(blank, MODEL_AT, model);
        Arrays.fill(blank, LAST_TIME, OFFSETS + 3 * Long.BYTES, (byte) -1); // -1 in each: none
    }

    /** Of a user never seen. */
    byte[] blank() {
        return blank.clone();
    }

    /** A row that was stored, if it is of this model and size. */
    byte[] checked(byte[] row) {
        boolean same = row.length == blank.length && Arrays.equals(row, 0, SEEN, blank, 0, SEEN);
        if (!same) {
            throw new IllegalStateException(
                "row: expected " + blank.length + " bytes of this model, got " + row.length + " of another");
        }
        return row;
    }

    /** Whether it was applied before: by its place in its topic, or by its id among the user's last ones. */
    boolean holds(byte[] row, Event event) {
        if (event.offset <= getLong(row, OFFSETS + event.source * Long.BYTES)) {
            return true;
        }
        for (int at = RAW + HASH; at < carry; at += RAW_BYTES) {
            if (getLong(row, at) == event.hash) {
                return true;
            }
        }
        return false;
    }

    /** The place of the user's n-th event, from 0. */
    int place(long n) {
        return RAW + (int) (n % sequence) * RAW_BYTES;
    }

    /** The event is the user's n-th, from 0. */
    void append(byte[] row, long n, Event event) {
        int at = place(n);
        LONGS.set(row, at + TIME, event.timeMs);
        LONGS.set(row, at + HASH, event.hash);
        INTS.set(row, at + ITEM, event.item);
        INTS.set(row, at + CATEGORY, event.category);
        setFloat(row, at + PRICE, event.price);
        setShort(row, at + PLACES, event.device);
        setShort(row, at + PLACES + 2, event.country);
        setShort(row, at + PLACES + 4, event.place);
        row[at + ACTION] = (byte) event.action;
        LONGS.set(row, SEEN, n + 1);
        LONGS.set(row, LAST_TIME, Math.max(getLong(row, LAST_TIME), event.timeMs));
        LONGS.set(row, OFFSETS + event.source * Long.BYTES, event.offset);
    }

    static long getLong(byte[] row, int at) {
        return (long) LONGS.get(row, at);
    }

    static int getInt(byte[] row, int at) {
        return (int) INTS.get(row, at);
    }

    static float getFloat(byte[] row, int at) {
        return (float) FLOATS.get(row, at);
    }

    static void setFloat(byte[] row, int at, float value) {
        FLOATS.set(row, at, value);
    }

    static int getShort(byte[] row, int at) {
        return (short) SHORTS.get(row, at) & 0xFFFF;
    }

    static void setShort(byte[] row, int at, int value) {
        SHORTS.set(row, at, (short) value);
    }
}
