package peer;

import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/** Scores events on Kafka Streams until SIGTERM. */
public final class Main {
    private static final Duration CLOSE_WITHIN = Duration.ofSeconds(30);
    // Of a process; 0.75 GB of heap. Never fewer than those of a batch, which all have to be there
    private static final int CACHED_ROWS = 500_000;

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        Map<String, String> flags = flags(arguments);
        Model model = new Model(Path.of(flag(flags, "model")));
        Rows rows = new Rows(model.sequence, model.hidden, Long.parseUnsignedLong(model.hash, 16));
        int partitions = Integer.parseInt(flag(flags, "partitions"));
        Peer.Variant variant = Peer.Variant.valueOf(flag(flags, "variant").toUpperCase(Locale.ROOT));
        Peer peer = new Peer(
            variant,
            model,
            variant == Peer.Variant.VECTOR ? new VectorWeights(model) : null,
            rows,
            new String[] {flag(flags, "clicks"), flag(flags, "searches"), flag(flags, "purchases")},
            new String[] {flag(flags, "purchase-intent"), flag(flags, "anomaly-scores")},
            partitions,
            Math.max(CACHED_ROWS / partitions, 2 * BatchProcessor.CAPACITY));
        KafkaStreams streams = new KafkaStreams(
            peer.topology(),
            Settings.streams(
                flag(flags, "bootstrap-servers"),
                flag(flags, "app-id"),
                flag(flags, "state-dir"),
                Integer.parseInt(flags.getOrDefault("threads", "1"))));
        CountDownLatch ended = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            ended.countDown();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(CLOSE_WITHIN)));
        streams.start();
        ended.await();
        System.exit(1);
    }

    private static Map<String, String> flags(String[] arguments) {
        Map<String, String> flags = new HashMap<>();
        for (int i = 0; i + 1 < arguments.length; i += 2) {
            flags.put(arguments[i].replaceFirst("^--", ""), arguments[i + 1]);
        }
        return flags;
    }

    private static String flag(Map<String, String> flags, String name) {
        String value = flags.get(name);
        if (value == null) {
            throw new IllegalArgumentException("--" + name + ": expected a value, got none");
        }
        return value;
    }
}
