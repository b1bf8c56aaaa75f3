package peer;

/** A user's row while it is in the heap. */
final class Row {
    final byte[] key;
    final byte[] bytes;
    final long hash; // of the key
    Row next; // of those in the same bucket
    boolean dirty; // differs from what is in the store
    boolean recent; // used since the hand came by last
    long usedIn; // the batch that it was used in last
    int events; // of that batch

    Row(byte[] key, byte[] bytes, long hash) {
        this.key = key;
        this.bytes = bytes;
        this.hash = hash;
    }
}
