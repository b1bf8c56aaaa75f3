package peer;

import java.util.Map;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * What all tasks of a run share: three topics into one processor with one store, and two sinks.
 *
 * @param weights of the variant that needs them, else null
 * @param sources clicks, searches, purchases
 * @param outputs purchase intent, anomaly scores
 * @param cachedRows in the heap, of each task
 */
record Peer(
    Variant variant, Model model, VectorWeights weights, Rows rows, String[] sources, String[] outputs, int partitions, int cachedRows) {
    static final String STORE = "users";

    /** How an event is scored, and where its user's row is meanwhile. */
    enum Variant {
        ONNX, // each by ONNX Runtime, rows in the store with its stock cache
        VECTOR, // many at once by hand on the Vector API, rows in the heap
        BATCHED, // many at once by ONNX Runtime, rows in the heap
    }

    Topology topology() {
        String[] names = {"clicks", "searches", "purchases"};
        Topology topology = new Topology();
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        for (int source = 0; source < names.length; source++) {
            topology.addSource(names[source], bytes, bytes, sources[source]);
        }
        topology.addProcessor("scoring", this::processor, names);
        topology.addStateStore(store(), "scoring");
        ByteArraySerializer toBytes = new ByteArraySerializer();
        topology.addSink(Scoring.INTENT_SINK, outputs[0], toBytes, toBytes, "scoring");
        topology.addSink(Scoring.ANOMALY_SINK, outputs[1], toBytes, toBytes, "scoring");
        return topology;
    }

    private Processor<byte[], byte[], byte[], byte[]> processor() {
        return variant == Variant.ONNX ? new EventProcessor(this) : new BatchProcessor(this);
    }

    private StoreBuilder<?> store() {
        StoreBuilder<KeyValueStore<byte[], byte[]>> store = Stores
            .keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), Serdes.ByteArray(), Serdes.ByteArray())
            .withLoggingEnabled(Map.of());
        return variant == Variant.ONNX
            ? store.withCachingEnabled()
            : new HeapRows.Builder(store.withCachingDisabled(), rows, cachedRows);
    }

    Network network(int capacity) {
        return variant == Variant.VECTOR ? new VectorNetwork(weights, rows) : new OnnxNetwork(model, rows, capacity);
    }

    EventParser parser() {
        return new EventParser(model.maxAheadMs, model.maxBehindMs);
    }

    /** The place of a topic among the sources. */
    int source(String topic) {
        int source = 0;
        while (!sources[source].equals(topic)) {
            source++;
        }
        return source;
    }
}
