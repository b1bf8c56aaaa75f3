package peer;

import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueStore;

/** Scores each event as it comes. */
final class EventProcessor implements Processor<byte[], byte[], byte[], byte[]> {
    private final Peer peer;
    private final EventParser parser;
    private final Event event = new Event();
    private ProcessorContext<byte[], byte[]> context;
    private Scoring scoring;
    private UserRows users;

    EventProcessor(Peer peer) {
        this.peer = peer;
        parser = peer.parser();
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        scoring = new Scoring(peer, peer.network(1), 1, context);
        if (peer.variant() == Peer.Variant.VECTOR) {
            users = context.<HeapRows>getStateStore(Peer.STORE);
        } else {
            users = new StoreRows(context.<KeyValueStore<byte[], byte[]>>getStateStore(Peer.STORE), peer.rows());
        }
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        RecordMetadata metadata = context.recordMetadata().orElseThrow();
        event.source = peer.source(metadata.topic());
        event.offset = metadata.offset();
        event.recordTimeMs = record.timestamp();
        if (!parser.parse(record.key(), record.value(), event)) {
            return;
        }
        Row row = users.find(event.key);
        if (peer.rows().holds(row.bytes, event)) {
            return;
        }
        scoring.add(event, row.bytes);
        scoring.score();
        users.changed(row);
    }
}
