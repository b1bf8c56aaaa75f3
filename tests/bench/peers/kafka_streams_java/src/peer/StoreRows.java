package peer;

import org.apache.kafka.streams.state.KeyValueStore;

/** Rows in a key-value store, which has the stock cache: read and written at each event. */
final class StoreRows implements UserRows {
    private final KeyValueStore<byte[], byte[]> store;
    private final Rows rows;

    StoreRows(KeyValueStore<byte[], byte[]> store, Rows rows) {
        this.store = store;
        this.rows = rows;
    }

    @Override
    public Row find(byte[] key) {
        byte[] stored = store.get(key);
        // What the cache has is written in place: nobody else reads it, and it is put back at once.
        return new Row(key, stored == null ? rows.blank() : rows.checked(stored), 0);
    }

    @Override
    public void changed(Row row) {
        store.put(row.key, row.bytes);
    }
}
