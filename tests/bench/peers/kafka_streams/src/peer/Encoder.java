package peer;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Scores -> the two records, as {@code stream/encode.py} writes them: JSON put together by hand in one reused buffer. */
final class Encoder {
    private static final int ID_MAX_BYTES = 256 * 12; // each character may be two escapes of six bytes
    private static final double MICRO = 1e6;
    private static final long MICROS = 1_000_000;
    // A double just below 1 has no more digits than these, and near 1 is where they matter.
    private static final double FINE = 1e16;
    private static final long FINES = 10_000_000_000_000_000L;
    private static final byte[] PAIRS = new byte[200]; // 00 to 99

    static {
        for (int i = 0; i < 100; i++) {
            PAIRS[2 * i] = (byte) ('0' + i / 10);
            PAIRS[2 * i + 1] = (byte) ('0' + i % 10);
        }
    }

    private final byte[][] begins; // of each source: up to the offset
    private final byte[] eventId;
    private final byte[] userId = ascii("\",\"user_id\":\"");
    private final byte[] eventTime = ascii("\",\"event_time_ms\":");
    private final byte[] scoredTime = ascii(",\"scored_time_ms\":");
    private final byte[] eventsSeen = ascii(",\"events_seen\":");
    private final byte[][] flags = new byte[4][]; // by late + 2 time_bounded
    private final byte[][] horizons;
    private final byte[] anomaly = ascii("\"anomaly\":");
    private final byte[] surprise = ascii(",\"surprise\":");
    private final byte[][] parts = new byte[Model.PARTS.length][];
    private final byte[] strain = ascii("},\"strain\":");

    private final byte[] buffer = new byte[4096 + 2 * ID_MAX_BYTES];
    private final long[] micros = new long[Model.PARTS.length];
    private int at;
    private int both; // where what both records say ends

    Encoder(Model model, String[] topics, int partition) {
        begins = new byte[topics.length][];
        for (int source = 0; source < topics.length; source++) {
            begins[source] = ascii("{\"schema_version\":1,\"id\":\"" + topics[source] + "-" + partition + "-");
        }
        eventId = ascii("-" + model.hash + "\",\"event_id\":\"");
        for (int bits = 0; bits < flags.length; bits++) {
            flags[bits] = ascii(
                ",\"model\":\"" + model.name + "\",\"model_hash\":\"" + model.hash + "\",\"late\":" + ((bits & 1) != 0)
                    + ",\"time_bounded\":" + ((bits & 2) != 0) + ",\"carry_rebuilt\":false,");
        }
        horizons = new byte[model.horizons.length][];
        for (int k = 0; k < horizons.length; k++) {
            horizons[k] = ascii((k == 0 ? "\"purchase_intent\":{\"" : ",\"") + model.horizons[k] + "\":");
        }
        for (int part = 0; part < parts.length; part++) {
            parts[part] = ascii((part == 0 ? ",\"surprise_parts\":{\"" : ",\"") + Model.PARTS[part] + "\":");
        }
    }

    /** What both records of an event begin with; then `intent` and `anomaly` may be asked for. */
    void begin(Event event, long eventsSeen, boolean late, long nowMs) {
        at = 0;
        put(begins[event.source]);
        put(event.offset);
        put(eventId);
        put(event.json, event.eventIdFrom, event.eventIdTo);
        put(userId);
        put(event.json, event.userIdFrom, event.userIdTo);
        put(eventTime);
        put(event.timeMs);
        put(scoredTime);
        put(nowMs);
        put(this.eventsSeen);
        put(eventsSeen);
        put(flags[(late ? 1 : 0) + (event.timeBounded ? 2 : 0)]);
        both = at;
    }

    byte[] intent(float[] intent, int from) {
        at = both;
        for (int k = 0; k < horizons.length; k++) {
            put(horizons[k]);
            putMicros(rounded(intent[from + k]));
        }
        buffer[at++] = '}';
        buffer[at++] = '}';
        return Arrays.copyOf(buffer, at);
    }

    byte[] anomaly(double anomaly, float[] nats, int from, double strain) {
        at = both;
        put(this.anomaly);
        putFraction((long) (anomaly * FINE + 0.5), FINES, 16);
        long sum = 0;
        for (int part = 0; part < parts.length; part++) {
            micros[part] = Math.abs(rounded(nats[from + part]));
            sum += micros[part];
        }
        put(surprise);
        putMicros(sum);
        for (int part = 0; part < parts.length; part++) {
            put(parts[part]);
            putMicros(micros[part]);
        }
        put(this.strain);
        putMicros(rounded(strain));
        buffer[at++] = '}';
        return Arrays.copyOf(buffer, at);
    }

    private static long rounded(double number) {
        return (long) (number * MICRO + (number < 0 ? -0.5 : 0.5));
    }

    private void putMicros(long micros) {
        if (micros < 0) {
            buffer[at++] = '-';
            micros = -micros;
        }
        putFraction(micros, MICROS, 6);
    }

    /** `number` / `unit`, where `unit` has so many zeros; without zeros at the end. */
    private void putFraction(long number, long unit, int zeros) {
        long whole = number / unit;
        put(whole);
        buffer[at++] = '.';
        long rest = number - whole * unit;
        for (int i = at + zeros - 2; i >= at; i -= 2) {
            long next = rest / 100;
            int pair = 2 * (int) (rest - next * 100);
            buffer[i] = PAIRS[pair];
            buffer[i + 1] = PAIRS[pair + 1];
            rest = next;
        }
        int end = at + zeros;
        while (end > at + 1 && buffer[end - 1] == '0') {
            end--;
        }
        at = end;
    }

    /** A number of 0 or more. */
    private void put(long number) {
        int digits = 1;
        for (long bound = 10; digits < 19 && number >= bound; bound *= 10) {
            digits++;
        }
        int i = at + digits;
        at = i;
        while (number >= 100) {
            long next = number / 100;
            int pair = 2 * (int) (number - next * 100);
            buffer[--i] = PAIRS[pair + 1];
            buffer[--i] = PAIRS[pair];
            number = next;
        }
        if (number >= 10) {
            buffer[--i] = PAIRS[2 * (int) number + 1];
            buffer[--i] = PAIRS[2 * (int) number];
        } else {
            buffer[--i] = (byte) ('0' + number);
        }
    }

    private void put(byte[] text) {
        put(text, 0, text.length);
    }

    private void put(byte[] text, int from, int to) {
        System.arraycopy(text, from, buffer, at, to - from);
        at += to - from;
    }

    private static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
