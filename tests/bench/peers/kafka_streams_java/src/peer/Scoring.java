package peer;

import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/** From the events of a batch to their scores: the whole of it, in order. One per task. */
final class Scoring {
    static final String INTENT_SINK = "purchase-intent";
    static final String ANOMALY_SINK = "anomaly-scores";

    final Batch batch;
    private final ProcessorContext<byte[], byte[]> context;
    private final Features features;
    private final Network network;
    private final Anomaly anomaly;
    private final Encoder encoder;
    private final int partition;
    private final int partitions;
    private final int horizons;

    Scoring(Peer peer, Network network, int capacity, ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        this.network = network;
        partition = context.taskId().partition();
        partitions = peer.partitions();
        Model model = peer.model();
        horizons = model.horizons.length;
        batch = new Batch(capacity, horizons);
        features = new Features(model, peer.rows());
        anomaly = new Anomaly(model.normalTraffic);
        encoder = new Encoder(model, peer.sources(), partition);
    }

    /** One more event of a user who has none in the batch. */
    void add(Event event, byte[] row) {
        if (Rows.getLong(row, Rows.SEEN) == 0) {
            refuseOtherPartition(event.key);
        }
        int i = batch.size++;
        batch.events[i] = event;
        batch.rows[i] = row;
        features.take(event, row, batch.real, i * Features.WIDTH, batch.classes, i * Model.PARTS.length);
        batch.late[i] = features.late;
    }

    boolean full() {
        return batch.size == batch.events.length;
    }

    /** Scores what was added and sends it on; the batch is empty then. */
    void score() {
        if (batch.size == 0) {
            return;
        }
        network.step(batch);
        long nowMs = context.currentSystemTimeMs();
        for (int i = 0; i < batch.size; i++) {
            Event event = batch.events[i];
            byte[] row = batch.rows[i];
            int nats = i * Model.PARTS.length;
            double strain = anomaly.strained(row, batch.nats, nats);
            encoder.begin(event, Rows.getLong(row, Rows.SEEN), batch.late[i], nowMs);
            send(event, encoder.intent(batch.intent, i * horizons), INTENT_SINK);
            double score = anomaly.anomaly(batch.nats, nats, strain);
            send(event, encoder.anomaly(score, batch.nats, nats, strain), ANOMALY_SINK);
        }
        batch.size = 0;
    }

    private void send(Event event, byte[] value, String sink) {
        context.forward(new Record<>(event.key, value, event.recordTimeMs), sink);
    }

    /** Scores go to the partition of their events because both are found by the key, and in the same way. */
    private void refuseOtherPartition(byte[] key) {
        int byKey = Utils.toPositive(Utils.murmur2(key)) % partitions;
        if (byKey != partition) {
            throw new IllegalStateException(
                "expected a record with this key in partition " + byKey + ", as Kafka's own partitioner puts it, got it in "
                    + partition);
        }
    }
}
