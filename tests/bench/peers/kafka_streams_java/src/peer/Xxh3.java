package peer;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.HexFormat;

/**
 * XXH3, 64 bits, no seed: the hash of the system that this is compared with, so that the 16 bits that are kept of a
 * device say the same in both. Texts longer than 240 bytes, which no id of a shop is, are hashed in pieces.
 */
final class Xxh3 {
    static final int LONGEST = 240;

    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final byte[] SECRET = HexFormat.of().parseHex(
        "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
            + "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
            + "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
            + "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
            + "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
            + "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e");
    private static final long PRIME_1 = 0x9E3779B185EBCA87L;
    private static final long PRIME_2 = 0xC2B2AE3D27D4EB4FL;
    private static final long PRIME_3 = 0x165667B19E3779F9L;
    private static final long PRIME_MX_1 = 0x165667919E3779F9L;
    private static final long PRIME_MX_2 = 0x9FB21C651E98DF25L;

    private Xxh3() {}

    static long hash(byte[] text, int from, int to) {
        int length = to - from;
        if (length > LONGEST) {
            return hash(text, from, from + LONGEST) * PRIME_1 + hash(text, from + LONGEST, to);
        }
        if (length > 128) {
            return upTo240(text, from, length);
        }
        if (length > 16) {
            return upTo128(text, from, length);
        }
        if (length > 8) {
            long low = read(text, from) ^ read(SECRET, 24) ^ read(SECRET, 32);
            long high = read(text, to - 8) ^ read(SECRET, 40) ^ read(SECRET, 48);
            return avalanche(length + Long.reverseBytes(low) + high + folded(low, high));
        }
        if (length > 3) {
            long both = (int) INT.get(text, to - 4) & 0xFFFF_FFFFL | (long) (int) INT.get(text, from) << 32;
            long mixed = both ^ read(SECRET, 8) ^ read(SECRET, 16);
            mixed ^= Long.rotateLeft(mixed, 49) ^ Long.rotateLeft(mixed, 24);
            mixed *= PRIME_MX_2;
            mixed ^= (mixed >>> 35) + length;
            mixed *= PRIME_MX_2;
            return mixed ^ mixed >>> 28;
        }
        if (length > 0) {
            int first = text[from] & 0xFF;
            int middle = text[from + (length >> 1)] & 0xFF;
            int last = text[to - 1] & 0xFF;
            int key = (int) INT.get(SECRET, 0) ^ (int) INT.get(SECRET, 4);
            return avalanche64((first << 16 | middle << 24 | last | length << 8) & 0xFFFF_FFFFL ^ key & 0xFFFF_FFFFL);
        }
        return avalanche64(read(SECRET, 56) ^ read(SECRET, 64));
    }

    private static long upTo128(byte[] text, int from, int length) {
        int to = from + length;
        long sum = length * PRIME_1;
        if (length > 32) {
            if (length > 64) {
                if (length > 96) {
                    sum += mixed(text, from + 48, 96) + mixed(text, to - 64, 112);
                }
                sum += mixed(text, from + 32, 64) + mixed(text, to - 48, 80);
            }
            sum += mixed(text, from + 16, 32) + mixed(text, to - 32, 48);
        }
        return avalanche(sum + mixed(text, from, 0) + mixed(text, to - 16, 16));
    }

    private static long upTo240(byte[] text, int from, int length) {
        long sum = length * PRIME_1;
        for (int i = 0; i < 8; i++) {
            sum += mixed(text, from + 16 * i, 16 * i);
        }
        sum = avalanche(sum);
        for (int i = 8; i < length / 16; i++) {
            sum += mixed(text, from + 16 * i, 16 * (i - 8) + 3);
        }
        return avalanche(sum + mixed(text, from + length - 16, 136 - 17));
    }

    private static long mixed(byte[] text, int at, int secret) {
        return folded(read(text, at) ^ read(SECRET, secret), read(text, at + 8) ^ read(SECRET, secret + 8));
    }

    private static long folded(long a, long b) {
        return a * b ^ Math.unsignedMultiplyHigh(a, b);
    }

    private static long avalanche(long hash) {
        hash ^= hash >>> 37;
        hash *= PRIME_MX_1;
        return hash ^ hash >>> 32;
    }

    private static long avalanche64(long hash) {
        hash ^= hash >>> 33;
        hash *= PRIME_2;
        hash ^= hash >>> 29;
        hash *= PRIME_3;
        return hash ^ hash >>> 32;
    }

    private static long read(byte[] text, int at) {
        return (long) LONG.get(text, at);
    }
}
