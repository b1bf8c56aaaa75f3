package peer;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.time.DateTimeException;
import java.time.OffsetDateTime;
import java.util.Arrays;
import java.util.Locale;

/**
 * JSON of the three source topics -> {@link Event}, in one pass over the bytes and without objects.
 *
 * <p>Knows the fields that the model sees and skips all others. What is no event is refused; why is not told, since
 * nobody is told here. Not checked: that text is UTF-8, and what lies in fields that are skipped.
 */
final class EventParser {
    private static final int CLICKS = 0;
    private static final int SEARCHES = 1;
    private static final String[][] NAMES = {
        {
            "view_item_list", "select_item", "view_item", "add_to_wishlist", "add_to_cart", "remove_from_cart",
            "view_cart", "begin_checkout", "add_payment_info",
        },
        {"search"},
        {"purchase", "refund"},
    };
    // Before the words, which are read by it
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final Word USER_ID = new Word("user_id");
    private static final Word EVENT_ID = new Word("event_id");
    private static final Word EVENT_NAME = new Word("event_name");
    private static final Word EVENT_TIME = new Word("event_time");
    private static final Word DEVICE = new Word("device_id");
    private static final Word COUNTRY = new Word("country");
    private static final Word LOCATION = new Word("location_id");
    private static final Word ITEM = new Word("item_id");
    private static final Word CATEGORY = new Word("item_category");
    private static final Word PRICE = new Word("price");
    private static final Word SEARCH_TERM = new Word("search_term");
    private static final Word VALUE = new Word("value");
    private static final Word ITEMS = new Word("items");
    private static final double PRICE_MAX = 1e9;
    private static final int ID_MAX_LENGTH = 256;
    private static final long TIME_MAX_MS = 253_402_300_799_999L; // the end of year 9999
    private static final int TIME_DIGITS = 15;
    private static final int NESTED_MAX = 200;

    private static final long ONES = 0x0101_0101_0101_0101L;
    private static final long HIGH = 0x8080_8080_8080_8080L;
    private static final double[] POWERS = new double[23]; // exact, as doubles
    private static final NotAnEvent REFUSED = new NotAnEvent();

    static {
        for (int i = 0; i < POWERS.length; i++) {
            POWERS[i] = Double.parseDouble("1e" + i);
        }
    }

    private static final class NotAnEvent extends RuntimeException {
        NotAnEvent() {
            super(null, null, false, false);
        }
    }

    /** A word of 5 to 16 letters, compared by its first and its last eight. */
    private record Word(int length, long head, long tail) {
        Word(String word) {
            this(word.getBytes(StandardCharsets.UTF_8));
        }

        private Word(byte[] word) {
            this(word.length, EventParser.head(Arrays.copyOf(word, 16), 0, word.length), EventParser.tail(word, 0, word.length));
        }
    }

    private final Word[][] names = new Word[NAMES.length][]; // of each source's actions
    private final int[] firstAction = new int[NAMES.length];
    private final long maxAheadMs;
    private final long maxBehindMs;

    private byte[] json;
    private int at;
    // Of the string read last: its place, and whether it is as it stands there
    private int from;
    private int to;
    private boolean plain;
    private byte[] folded = new byte[64];

    EventParser(long maxAheadMs, long maxBehindMs) {
        this.maxAheadMs = maxAheadMs;
        this.maxBehindMs = maxBehindMs;
        int action = 1;
        for (int source = 0; source < NAMES.length; source++) {
            firstAction[source] = action;
            names[source] = new Word[NAMES[source].length];
            for (int i = 0; i < NAMES[source].length; i++, action++) {
                names[source][i] = new Word(NAMES[source][i]);
            }
        }
    }

    /** Whether `value` is an event; then `event` holds it. Its source, offset and record time are set beforehand. */
    boolean parse(byte[] key, byte[] value, Event event) {
        if (key == null || value == null) {
            return false;
        }
        json = value;
        at = 0;
        event.clear();
        event.key = key;
        event.json = value;
        try {
            object(event);
        } catch (NotAnEvent | IndexOutOfBoundsException refused) { // the latter: it ends too soon
            return false;
        }
        long recordMs = event.recordTimeMs;
        if (event.action == 0 || event.timeMs < 0 || event.userIdTo == 0 || event.eventIdTo == 0 || recordMs < 0) {
            return false;
        }
        if (event.timeMs > recordMs + maxAheadMs || event.timeMs < recordMs - maxBehindMs) {
            event.timeBounded = true;
            event.timeMs = recordMs;
        }
        return true;
    }

    private void object(Event event) {
        space();
        expect('{');
        space();
        if (json[at] == '}') {
            throw REFUSED;
        }
        while (true) {
            string();
            int nameFrom = from;
            int length = to - from;
            space();
            expect(':');
            space();
            field(event, nameFrom, length);
            space();
            if (json[at] == '}') {
                break;
            }
            expect(',');
            space();
        }
        at++;
        while (at < json.length && json[at] <= ' ') {
            at++;
        }
        if (at < json.length) {
            throw REFUSED;
        }
    }

    private void field(Event event, int name, int length) {
        switch (length) {
            case 5 -> {
                if (event.source == CLICKS && is(name, PRICE) || event.source > SEARCHES && is(name, VALUE)) {
                    event.price = amount();
                } else if (event.source > SEARCHES && is(name, ITEMS)) {
                    items(event);
                } else {
                    skip(0);
                }
            }
            case 7 -> {
                if (is(name, USER_ID)) {
                    userId(event);
                } else if (event.source == CLICKS && is(name, ITEM)) {
                    event.item = itemId();
                } else if (is(name, COUNTRY)) {
                    event.country = whereabout();
                } else {
                    skip(0);
                }
            }
            case 8 -> {
                if (is(name, EVENT_ID)) {
                    eventId(event);
                } else {
                    skip(0);
                }
            }
            case 9 -> {
                if (is(name, DEVICE)) {
                    event.device = whereabout();
                } else {
                    skip(0);
                }
            }
            case 10 -> {
                if (is(name, EVENT_NAME)) {
                    action(event);
                } else if (is(name, EVENT_TIME)) {
                    event.timeMs = time();
                } else {
                    skip(0);
                }
            }
            case 11 -> {
                if (event.source == SEARCHES && is(name, SEARCH_TERM)) {
                    event.item = searchTerm();
                } else if (is(name, LOCATION)) {
                    event.place = whereabout();
                } else {
                    skip(0);
                }
            }
            case 13 -> {
                if (event.source == CLICKS && is(name, CATEGORY)) {
                    event.category = category();
                } else {
                    skip(0);
                }
            }
            default -> skip(0);
        }
    }

    /** Whether what begins there, and is as long, is the word. */
    private boolean is(int name, Word word) {
        return head(json, name, word.length) == word.head && tail(json, name, word.length) == word.tail;
    }

    /** A word of fewer than eight letters is always followed by so many more: a quote, at least, and what must come. */
    private static long head(byte[] text, int at, int length) {
        long head = (long) LONG.get(text, at);
        return length < Long.BYTES ? head & (1L << 8 * length) - 1 : head;
    }

    private static long tail(byte[] text, int at, int length) {
        return length <= Long.BYTES ? 0 : (long) LONG.get(text, at + length - Long.BYTES);
    }

    private void userId(Event event) {
        id();
        event.userIdFrom = from;
        event.userIdTo = to;
        boolean same = plain
            ? Arrays.equals(json, from, to, event.key, 0, event.key.length)
            : Arrays.equals(text(), event.key);
        if (!same) {
            throw REFUSED;
        }
    }

    private void eventId(Event event) {
        id();
        event.eventIdFrom = from;
        event.eventIdTo = to;
        event.hash = hash();
    }

    private void id() {
        string();
        if (to == from) {
            throw REFUSED;
        }
        if (to - from > ID_MAX_LENGTH) {
            String id = new String(text(), StandardCharsets.UTF_8);
            if (id.codePointCount(0, id.length()) > ID_MAX_LENGTH) {
                throw REFUSED;
            }
        }
    }

    private void action(Event event) {
        string();
        Word[] known = names[event.source];
        for (int i = 0; i < known.length; i++) {
            if (to - from == known[i].length && is(from, known[i])) {
                event.action = firstAction[event.source] + i;
                return;
            }
        }
        throw REFUSED;
    }

    /** Milliseconds since 1970, of a number, of digits, or of RFC 3339 with a zone. */
    private long time() {
        if (json[at] != '"') {
            number();
        } else {
            string();
            if (!plain) {
                throw REFUSED;
            }
        }
        long digits = to - from <= TIME_DIGITS ? digits(from, to) : -1;
        if (digits >= 0) {
            if (digits > TIME_MAX_MS) {
                throw REFUSED;
            }
            return digits;
        }
        return Math.max(0, moment());
    }

    private long moment() {
        int length = to - from;
        byte[] b = json;
        if (length >= 20 && b[from + 4] == '-' && b[from + 7] == '-' && (b[from + 10] | 32) == 't' && b[from + 13] == ':'
            && b[from + 16] == ':' && (b[to - 1] | 32) == 'z') {
            long year = digits(from, from + 4);
            long month = digits(from + 5, from + 7);
            long day = digits(from + 8, from + 10);
            long hour = digits(from + 11, from + 13);
            long minute = digits(from + 14, from + 16);
            long second = digits(from + 17, from + 19);
            long ms = 0;
            if (b[from + 19] == '.') {
                int end = Math.min(to - 1, from + 23);
                ms = digits(from + 20, end);
                for (int i = end; i < from + 23; i++) {
                    ms *= 10;
                }
            } else if (length != 20) {
                ms = -1;
            }
            boolean usual = year > 0 && month > 0 && month < 13 && day > 0 && day < 29 && hour >= 0 && hour < 24
                && minute >= 0 && minute < 60 && second >= 0 && second < 60 && ms >= 0;
            if (usual) {
                return ((days(year, month, day) * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + ms;
            }
        }
        try { // the last days of a month, other zones, and whatever else is allowed
            String words = new String(json, from, length, StandardCharsets.UTF_8).toUpperCase(Locale.ROOT);
            return OffsetDateTime.parse(words.replace(' ', 'T')).toInstant().toEpochMilli();
        } catch (DateTimeException noTime) {
            throw REFUSED;
        }
    }

    /** Since 1970, of the proleptic Gregorian calendar: years begin in March. */
    private static long days(long year, long month, long day) {
        long years = month > 2 ? year : year - 1;
        long era = years / 400;
        long ofEra = years - era * 400;
        long ofYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
        return era * 146_097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719_468;
    }

    /** -1: not digits alone. */
    private long digits(int begin, int end) {
        if (begin >= end) {
            return -1;
        }
        long number = 0;
        for (int i = begin; i < end; i++) {
            int digit = json[i] - '0';
            if (digit < 0 || digit > 9) {
                return -1;
            }
            number = number * 10 + digit;
        }
        return number;
    }

    /** An amount without its sign; NaN: none. */
    private float amount() {
        if (json[at] == '"') {
            string();
        } else if (json[at] == 'n') {
            literal("null");
            return Float.NaN;
        } else {
            number();
        }
        double amount = Math.abs(decimal());
        if (!(amount <= PRICE_MAX)) {
            throw REFUSED;
        }
        return (float) amount;
    }

    /** What was read last as a number; NaN: it is none. */
    private double decimal() {
        int i = from;
        if (i < to && (json[i] == '-' || json[i] == '+')) {
            i++;
        }
        long digits = 0;
        int seen = 0;
        int point = -1;
        for (; i < to; i++) {
            int digit = json[i] - '0';
            if (digit >= 0 && digit <= 9) {
                digits = digits * 10 + digit;
                seen++;
            } else if (json[i] == '.' && point < 0) {
                point = i;
            } else {
                return slowDecimal();
            }
        }
        int scale = point < 0 ? 0 : to - 1 - point;
        // A double holds 15 digits exactly, and one division rounds once.
        return seen > 0 && seen <= 15 ? digits / POWERS[scale] : slowDecimal();
    }

    private double slowDecimal() {
        String words = new String(text(), StandardCharsets.UTF_8).strip();
        if (words.isEmpty() || "dDfFxX".indexOf(words.charAt(words.length() - 1)) >= 0) { // Java's, not JSON's
            return Double.NaN;
        }
        try {
            return Double.parseDouble(words);
        } catch (NumberFormatException none) {
            return Double.NaN;
        }
    }

    /** Hash of a string or an integer; 0: none. */
    private int itemId() {
        if (json[at] == '"') {
            string();
        } else if (json[at] == 'n') {
            literal("null");
            return 0;
        } else {
            number();
            if (digits(json[from] == '-' ? from + 1 : from, to) < 0) {
                throw REFUSED;
            }
        }
        return hash32();
    }

    private int category() {
        if (json[at] == 'n') {
            literal("null");
            return 0;
        }
        string();
        return hash32();
    }

    /** Words that differ in case alone are the same. */
    private int searchTerm() {
        if (json[at] == 'n') {
            literal("null");
            return 0;
        }
        string();
        int length = to - from;
        if (folded.length < length) {
            folded = new byte[2 * length];
        }
        boolean ascii = plain;
        for (int i = 0; i < length && ascii; i++) {
            byte letter = json[from + i];
            ascii = letter >= 0;
            folded[i] = letter >= 'A' && letter <= 'Z' ? (byte) (letter + 32) : letter;
        }
        if (ascii) {
            return length == 0 ? 0 : nonZero((int) Xxh3.hash(folded, 0, length));
        }
        String upper = new String(text(), StandardCharsets.UTF_8).toUpperCase(Locale.ROOT);
        StringBuilder lower = new StringBuilder(upper.length());
        upper.chars().forEach(letter -> lower.append(Character.toLowerCase((char) letter)));
        byte[] bytes = lower.toString().getBytes(StandardCharsets.UTF_8);
        return nonZero((int) Xxh3.hash(bytes, 0, bytes.length));
    }

    /** 16 bits of a string or an integer; 0: neither. */
    private int whereabout() {
        byte first = json[at];
        if (first == '"') {
            string();
            if (from == to) {
                return 0;
            }
        } else if (first == '-' || first >= '0' && first <= '9') {
            number();
            if (digits(first == '-' ? from + 1 : from, to) < 0) {
                return 0;
            }
        } else {
            skip(0);
            return 0;
        }
        return (int) Long.remainderUnsigned(hash(), 0xFFFF) + 1;
    }

    /** Item and category of the first of them. */
    private void items(Event event) {
        if (json[at] == 'n') {
            literal("null");
            return;
        }
        expect('[');
        space();
        if (json[at] == ']') {
            at++;
            return;
        }
        if (json[at] != '{') {
            throw REFUSED;
        }
        firstItem(event);
        space();
        while (json[at] != ']') {
            expect(',');
            space();
            skip(1);
            space();
        }
        at++;
    }

    private void firstItem(Event event) {
        at++;
        space();
        if (json[at] == '}') {
            at++;
            return;
        }
        while (true) {
            string();
            int name = from;
            int length = to - from;
            space();
            expect(':');
            space();
            if (length == ITEM.length && is(name, ITEM)) {
                event.item = itemId();
            } else if (length == CATEGORY.length && is(name, CATEGORY)) {
                event.category = category();
            } else {
                skip(2);
            }
            space();
            if (json[at] == '}') {
                at++;
                return;
            }
            expect(',');
            space();
        }
    }

    private void skip(int depth) {
        if (depth > NESTED_MAX) {
            throw REFUSED;
        }
        switch (json[at]) {
            case '"' -> string();
            case 't' -> literal("true");
            case 'f' -> literal("false");
            case 'n' -> literal("null");
            case '{', '[' -> {
                byte end = (byte) (json[at] == '{' ? '}' : ']');
                at++;
                space();
                if (json[at] == end) {
                    at++;
                    return;
                }
                while (true) {
                    if (end == '}') {
                        string();
                        space();
                        expect(':');
                        space();
                    }
                    skip(depth + 1);
                    space();
                    if (json[at] == end) {
                        at++;
                        return;
                    }
                    expect(',');
                    space();
                }
            }
            default -> number();
        }
    }

    private void number() {
        from = at;
        plain = true;
        while (true) {
            byte letter = json[at];
            if (letter >= '0' && letter <= '9' || letter == '.' || letter == '-' || letter == '+' || letter == 'e'
                || letter == 'E') {
                at++;
            } else {
                break;
            }
        }
        to = at;
        if (from == to) {
            throw REFUSED;
        }
    }

    /** From quote to quote; eight bytes at a time, as long as there are eight. */
    private void string() {
        expect('"');
        byte[] b = json;
        int i = at;
        from = i;
        plain = true;
        while (true) {
            while (i + 8 <= b.length) {
                long word = (long) LONG.get(b, i);
                long quotes = word ^ ONES * '"';
                long slashes = word ^ ONES * '\\';
                long found = (quotes - ONES & ~quotes | slashes - ONES & ~slashes | word - ONES * ' ' & ~word) & HIGH;
                if (found != 0) {
                    i += Long.numberOfTrailingZeros(found) >> 3;
                    break;
                }
                i += 8;
            }
            byte letter = b[i];
            if (letter == '"') {
                break;
            }
            if (letter == '\\') {
                plain = false;
                i += 2;
            } else if (letter >= 0 && letter < ' ') {
                throw REFUSED;
            } else {
                i++;
            }
        }
        to = i;
        at = i + 1;
    }

    private long hash() {
        if (plain) {
            return Xxh3.hash(json, from, to);
        }
        byte[] text = text();
        return Xxh3.hash(text, 0, text.length);
    }

    private int hash32() {
        return from == to ? 0 : nonZero((int) hash());
    }

    private static int nonZero(int hash) {
        return hash == 0 ? 1 : hash;
    }

    /** The string read last, without escapes. */
    private byte[] text() {
        if (plain) {
            return Arrays.copyOfRange(json, from, to);
        }
        StringBuilder text = new StringBuilder();
        String raw = new String(json, from, to - from, StandardCharsets.UTF_8);
        for (int i = 0; i < raw.length(); i++) {
            char letter = raw.charAt(i);
            if (letter != '\\') {
                text.append(letter);
                continue;
            }
            i++;
            switch (raw.charAt(i)) {
                case 'n' -> text.append('\n');
                case 't' -> text.append('\t');
                case 'r' -> text.append('\r');
                case 'b' -> text.append('\b');
                case 'f' -> text.append('\f');
                case '"', '\\', '/' -> text.append(raw.charAt(i));
                case 'u' -> {
                    if (i + 5 > raw.length()) {
                        throw REFUSED;
                    }
                    try {
                        text.append((char) Integer.parseInt(raw, i + 1, i + 5, 16));
                    } catch (NumberFormatException none) {
                        throw REFUSED;
                    }
                    i += 4;
                }
                default -> throw REFUSED;
            }
        }
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    private void literal(String word) {
        for (int i = 0; i < word.length(); i++, at++) {
            if (json[at] != word.charAt(i)) {
                throw REFUSED;
            }
        }
    }

    private void expect(char letter) {
        if (json[at] != letter) {
            throw REFUSED;
        }
        at++;
    }

    private void space() {
        while (json[at] == ' ' || json[at] == '\n' || json[at] == '\r' || json[at] == '\t') {
            at++;
        }
    }
}
