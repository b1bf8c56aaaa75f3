package peer;

import java.time.Duration;
import java.util.Arrays;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.processor.internals.InternalProcessorContext;
import org.apache.kafka.streams.processor.internals.ProcessorNode;

/**
 * Collects events and scores them together: of each user the first, then of each the second, and so on.
 *
 * <p>They are scored once CAPACITY are there, after MAX_WAIT at the latest, and before each commit. Steps of few users,
 * which cost as much as those of many, are left for the next time where there is one soon.
 */
final class BatchProcessor implements Processor<byte[], byte[], byte[], byte[]> {
    static final int CAPACITY = 2048; // ONNX Runtime: 8 % less CPU than with 1,024; by hand: the same
    private static final Duration MAX_WAIT = Duration.ofMillis(10);
    // Users whose step costs each of them twice what it costs them among many, or thereabouts
    private static final int FEW_BY_ONNX = 64;
    private static final int FEW_BY_HAND = 8;
    private static final int USERS_AT_ONCE = 256; // what they need fits into the second-level cache
    private static final int LEFT_MAX = CAPACITY / 2;

    private final Peer peer;
    private final int few;
    private final EventParser parser;
    private final Event[] events = new Event[CAPACITY];
    private final Event[] left = new Event[CAPACITY];
    private final Row[] rowOf = new Row[CAPACITY];
    private final int[] stepOf = new int[CAPACITY];
    private final int[] ends = new int[CAPACITY + 1]; // of each step in `ordered`
    private final int[] ordered = new int[CAPACITY];
    private int size;
    private InternalProcessorContext<byte[], byte[]> context;
    private ProcessorNode<?, ?, ?, ?> node;
    private Scoring scoring;
    private HeapRows users;

    BatchProcessor(Peer peer) {
        this.peer = peer;
        few = peer.variant() == Peer.Variant.VECTOR ? FEW_BY_HAND : FEW_BY_ONNX;
        parser = peer.parser();
        for (int i = 0; i < CAPACITY; i++) {
            events[i] = new Event();
        }
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = (InternalProcessorContext<byte[], byte[]>) context;
        int atOnce = peer.variant() == Peer.Variant.VECTOR ? VectorNetwork.CAPACITY : USERS_AT_ONCE;
        node = this.context.currentNode();
        scoring = new Scoring(peer, peer.network(atOnce), atOnce, context);
        users = context.getStateStore(Peer.STORE);
        users.beforeCommit(this::scoreAtCommit);
        context.schedule(MAX_WAIT, PunctuationType.WALL_CLOCK_TIME, now -> score(true));
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        RecordMetadata metadata = context.recordMetadata().orElseThrow();
        Event event = events[size];
        event.source = peer.source(metadata.topic());
        event.offset = metadata.offset();
        event.recordTimeMs = record.timestamp();
        if (parser.parse(record.key(), record.value(), event) && ++size == CAPACITY) {
            score(false);
        }
    }

    /** A commit is no processor's doing, and what is forwarded must be some processor's. */
    private void scoreAtCommit() {
        ProcessorNode<?, ?, ?, ?> before = context.currentNode();
        context.setCurrentNode(node);
        try {
            score(true);
        } finally {
            context.setCurrentNode(before);
        }
    }

    private void score(boolean all) {
        if (size == 0) {
            return;
        }
        int steps = order();
        int begin = 0;
        int scored = 0;
        for (int step = 0; step < steps; step++) {
            int end = ends[step];
            boolean leave = end - begin < few && size - begin <= LEFT_MAX;
            if (leave && !all) { // so are those that follow
                break;
            }
            for (int i = begin; i < end; i++) {
                Row row = rowOf[ordered[i]];
                Event event = events[ordered[i]];
                if (!peer.rows().holds(row.bytes, event)) {
                    scoring.add(event, row.bytes);
                    users.changed(row);
                }
                if (scoring.full()) {
                    scoring.score();
                }
            }
            scoring.score();
            begin = scored = end;
        }
        leave(scored);
    }

    /** Fills `ordered`: step by step, and within each as they came -> how many steps. */
    private int order() {
        users.nextBatch();
        int steps = 0;
        for (int i = 0; i < size; i++) {
            Row row = users.find(events[i].key);
            rowOf[i] = row;
            stepOf[i] = row.events++;
            steps = Math.max(steps, row.events);
        }
        Arrays.fill(ends, 0, steps + 1, 0);
        for (int i = 0; i < size; i++) {
            ends[stepOf[i] + 1]++;
        }
        for (int step = 0; step < steps; step++) {
            ends[step + 1] += ends[step];
        }
        for (int i = 0; i < size; i++) {
            ordered[ends[stepOf[i]]++] = i; // the begin of a step becomes its end
        }
        return steps;
    }

    /** Those from `from` on in `ordered` come first the next time, in the order in which they came. */
    private void leave(int from) {
        int kept = 0;
        if (from < size) {
            int step = stepOf[ordered[from]];
            int other = size;
            for (int i = 0; i < size; i++) {
                left[stepOf[i] >= step ? kept++ : --other] = events[i];
            }
            System.arraycopy(left, 0, events, 0, size);
        }
        size = kept;
    }
}
