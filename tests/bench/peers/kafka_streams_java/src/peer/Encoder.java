package peer;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
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
    private static final long E8 = 100_000_000;
    private static final long ZEROS = 0x3030_3030_3030_3030L;
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    // Of 000 to 999: the three digits, from the lowest byte on, and how many are left without zeros at the end
    private static final int[] DIGITS = new int[1000];
    private static final byte[] KEPT = new byte[1000];

    static {
        for (int i = 0; i < 1000; i++) {
            DIGITS[i] = '0' + i / 100 | '0' + i / 10 % 10 << 8 | '0' + i % 10 << 16;
            KEPT[i] = (byte) (i == 0 ? 0 : i % 100 == 0 ? 1 : i % 10 == 0 ? 2 : 3);
        }
    }

    /** What is the same in each record, to be copied eight bytes at a time, and a few too many. */
    private record Text(long[] words, int length) {
        static Text of(String text) {
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            long[] words = new long[(bytes.length + 7) / 8];
            byte[] whole = Arrays.copyOf(bytes, words.length * 8);
            for (int i = 0; i < words.length; i++) {
                words[i] = (long) LONG.get(whole, i * 8);
            }
            return new Text(words, bytes.length);
        }
    }

    private final Text[] begins; // of each source: up to the offset
    private final Text eventId;
    private final Text userId = Text.of("\",\"user_id\":\"");
    private final Text eventTime = Text.of("\",\"event_time_ms\":");
    private final Text scoredTime = Text.of(",\"scored_time_ms\":");
    private final Text eventsSeen = Text.of(",\"events_seen\":");
    private final Text[] flags = new Text[4]; // by late + 2 time_bounded
    private final Text[] horizons;
    private final Text anomaly = Text.of("\"anomaly\":");
    private final Text surprise = Text.of(",\"surprise\":");
    private final Text[] parts = new Text[Model.PARTS.length];
    private final Text strain = Text.of("},\"strain\":");

    private final byte[] buffer = new byte[4096 + 2 * ID_MAX_BYTES];
    private final long[] micros = new long[Model.PARTS.length];
    private int at;
    private int both; // where what both records say ends

    Encoder(Model model, String[] topics, int partition) {
        begins = new Text[topics.length];
        for (int source = 0; source < topics.length; source++) {
            begins[source] = Text.of("{\"schema_version\":1,\"id\":\"" + topics[source] + "-" + partition + "-");
        }
        eventId = Text.of("-" + model.hash + "\",\"event_id\":\"");
        for (int bits = 0; bits < flags.length; bits++) {
            flags[bits] = Text.of(
                ",\"model\":\"" + model.name + "\",\"model_hash\":\"" + model.hash + "\",\"late\":" + ((bits & 1) != 0)
                    + ",\"time_bounded\":" + ((bits & 2) != 0) + ",\"carry_rebuilt\":false,");
        }
        horizons = new Text[model.horizons.length];
        for (int k = 0; k < horizons.length; k++) {
            horizons[k] = Text.of((k == 0 ? "\"purchase_intent\":{\"" : ",\"") + model.horizons[k] + "\":");
        }
        for (int part = 0; part < parts.length; part++) {
            parts[part] = Text.of((part == 0 ? ",\"surprise_parts\":{\"" : ",\"") + Model.PARTS[part] + "\":");
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
        putFine(anomaly);
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
        long whole = micros / MICROS;
        int rest = (int) (micros - whole * MICROS);
        put(whole);
        buffer[at++] = '.';
        int high = rest / 1000;
        int low = rest - high * 1000;
        LONG.set(buffer, at, DIGITS[high] | (long) DIGITS[low] << 24);
        at += low > 0 ? 3 + KEPT[low] : Math.max(1, KEPT[high]);
    }

    /** A number from 0 to 1. */
    private void putFine(double number) {
        long fine = (long) (number * FINE + 0.5);
        buffer[at++] = (byte) (fine < FINES ? '0' : '1');
        buffer[at++] = '.';
        long rest = fine < FINES ? fine : 0;
        int high = (int) (rest / E8);
        LONG.set(buffer, at, eight(high));
        LONG.set(buffer, at + 8, eight((int) (rest - (long) high * E8)));
        int end = at + 16;
        while (end > at + 1 && buffer[end - 1] == '0') {
            end--;
        }
        at = end;
    }

    /** A number of 0 or more, below 10^15. */
    private void put(long number) {
        if (number < 10) {
            buffer[at++] = (byte) ('0' + number);
        } else if (number < E8) {
            put((int) number);
        } else {
            int high = (int) (number / E8);
            put(high);
            LONG.set(buffer, at, eight((int) (number - (long) high * E8)));
            at += 8;
        }
    }

    /** Below 10^8. */
    private void put(int number) {
        long digits = eight(number);
        int zeros = Math.min(7, Long.numberOfTrailingZeros(digits ^ ZEROS) >> 3);
        LONG.set(buffer, at, digits >>> 8 * zeros);
        at += 8 - zeros;
    }

    /** The eight digits of a number below 10^8, the first in the lowest byte. */
    private static long eight(int number) {
        int high = number / 10_000;
        long fours = high | (long) (number - high * 10_000) << 32;
        long hundreds = fours * 10_486 >>> 20 & 0x0000_007F_0000_007FL; // / 100
        long twos = hundreds | fours - 100 * hundreds << 16;
        long tens = twos * 103 >>> 10 & 0x000F_000F_000F_000FL; // / 10
        return (tens | twos - 10 * tens << 8) + ZEROS;
    }

    private void put(Text text) {
        int to = at;
        for (long word : text.words) {
            LONG.set(buffer, to, word);
            to += 8;
        }
        at += text.length;
    }

    private void put(byte[] text, int from, int to) {
        System.arraycopy(text, from, buffer, at, to - from);
        at += to - from;
    }

}
