package peer;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.processor.StateStoreContext;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.internals.WrappedStateStore;

/**
 * A bounded cache in the heap before a store with a changelog, which it writes back to at commit: an event costs a look
 * into a hash table, and the changelog sees each user once per commit.
 *
 * <p>Kafka Streams flushes the caches of a task's stores before it flushes the producer and commits offsets, and that call
 * is what this overrides. What a processor still holds by then is brought in first, by `beforeCommit`.
 *
 * <p>Which row goes is told by a clock (Corbato 1968): about the least recently used one, at the cost of a flag.
 */
final class HeapRows extends WrappedStateStore<KeyValueStore<byte[], byte[]>, byte[], byte[]> implements UserRows {
    // So many at a time into one RocksDB batch, which is copied once more.
    private static final int WRITTEN_AT_ONCE = 512;

    private final Rows rows;
    private final Row[] buckets;
    private final Row[] ring;
    private int size;
    private int hand;
    private List<Row> dirty = new ArrayList<>();
    private final List<KeyValue<byte[], byte[]>> writing = new ArrayList<>(WRITTEN_AT_ONCE);
    private Runnable beforeCommit = () -> {};
    private long batch;

    HeapRows(KeyValueStore<byte[], byte[]> store, Rows rows, int capacity) {
        super(store);
        this.rows = rows;
        ring = new Row[capacity];
        buckets = new Row[Integer.highestOneBit(capacity) * 2];
    }

    /** Builds the store within, then this around it. */
    record Builder(StoreBuilder<KeyValueStore<byte[], byte[]>> within, Rows rows, int capacity)
        implements StoreBuilder<HeapRows> {
        @Override
        public HeapRows build() {
            return new HeapRows(within.build(), rows, capacity);
        }

        @Override
        public StoreBuilder<HeapRows> withCachingEnabled() {
            throw new UnsupportedOperationException("it is a cache");
        }

        @Override
        public StoreBuilder<HeapRows> withCachingDisabled() {
            return this;
        }

        @Override
        public StoreBuilder<HeapRows> withLoggingEnabled(Map<String, String> config) {
            within.withLoggingEnabled(config);
            return this;
        }

        @Override
        public StoreBuilder<HeapRows> withLoggingDisabled() {
            within.withLoggingDisabled();
            return this;
        }

        @Override
        public Map<String, String> logConfig() {
            return within.logConfig();
        }

        @Override
        public boolean loggingEnabled() {
            return within.loggingEnabled();
        }

        @Override
        public String name() {
            return within.name();
        }
    }

    /** What is to be done first at each commit. */
    void beforeCommit(Runnable work) {
        beforeCommit = work;
    }

    /** No row that is found from here on goes before the next call. */
    long nextBatch() {
        return ++batch;
    }

    @Override
    public Row find(byte[] key) {
        long hash = Xxh3.hash(key, 0, key.length);
        int bucket = bucket(hash);
        for (Row row = buckets[bucket]; row != null; row = row.next) {
            if (row.hash == hash && Arrays.equals(row.key, key)) {
                return used(row);
            }
        }
        byte[] stored = wrapped().get(key);
        Row row = new Row(key, stored == null ? rows.blank() : rows.checked(stored), hash);
        int place = size < ring.length ? size++ : evicted();
        ring[place] = row;
        row.next = buckets[bucket];
        buckets[bucket] = row;
        return used(row);
    }

    @Override
    public void changed(Row row) {
        if (!row.dirty) {
            row.dirty = true;
            dirty.add(row);
        }
    }

    @Override
    public void flushCache() {
        beforeCommit.run();
        for (Row row : dirty) {
            if (row.dirty) { // or it was evicted since
                row.dirty = false;
                writing.add(new KeyValue<>(row.key, row.bytes));
                if (writing.size() == WRITTEN_AT_ONCE) {
                    write();
                }
            }
        }
        write();
        dirty.clear();
        super.flushCache();
    }

    @Override
    public void init(StateStoreContext context, StateStore root) {
        forget();
        super.init(context, root);
    }

    @Override
    public void clearCache() {
        forget();
        super.clearCache();
    }

    private void forget() {
        Arrays.fill(buckets, null);
        Arrays.fill(ring, null);
        dirty.clear();
        size = hand = 0;
    }

    private void write() {
        wrapped().putAll(writing);
        writing.clear();
    }

    private Row used(Row row) {
        row.recent = true;
        if (row.usedIn != batch) {
            row.usedIn = batch;
            row.events = 0;
        }
        return row;
    }

    /** -> the place of a row that is gone. */
    private int evicted() {
        while (true) {
            int place = hand;
            hand = hand + 1 == ring.length ? 0 : hand + 1;
            Row row = ring[place];
            if (row.recent || row.usedIn == batch) {
                row.recent = false;
                continue;
            }
            if (row.dirty) {
                row.dirty = false;
                wrapped().put(row.key, row.bytes);
            }
            unlink(row);
            return place;
        }
    }

    private void unlink(Row gone) {
        int bucket = bucket(gone.hash);
        if (buckets[bucket] == gone) {
            buckets[bucket] = gone.next;
            return;
        }
        Row before = buckets[bucket];
        while (before.next != gone) {
            before = before.next;
        }
        before.next = gone.next;
    }

    private int bucket(long hash) {
        return (int) hash & buckets.length - 1;
    }
}
