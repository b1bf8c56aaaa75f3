package peer;

import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.rocksdb.BlockBasedTableConfig;
import org.rocksdb.CompressionType;
import org.rocksdb.Options;

/** All that is not left as Kafka and RocksDB have it, and why. */
final class Settings {
    private Settings() {}

    static Properties streams(String servers, String appId, String stateDir, int threads) {
        Properties p = new Properties();
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, servers);
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, appId);
        p.put(StreamsConfig.STATE_DIR_CONFIG, stateDir);
        p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, threads);
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.AT_LEAST_ONCE);
        p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
        p.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
        // The stock cache, of the variant that has it: rows of some 250,000 users, so that the changelog sees each once
        // per commit
        p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 512L << 20);
        // Topics are not merged by time, so none waits for another
        p.put(StreamsConfig.MAX_TASK_IDLE_MS_CONFIG, -1L);
        // 1,000 by default: a partition is paused and resumed at every poll
        p.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
        p.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, RocksDb.class);
        p.put(StreamsConfig.ENABLE_METRICS_PUSH_CONFIG, false); // nobody takes them

        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 4000); // 1,000 by default
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.CHECK_CRCS_CONFIG), false); // on one machine
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.RECEIVE_BUFFER_CONFIG), 1 << 20); // 64 KiB by default

        // Two records per event: large batches, and time to fill them
        p.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        p.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 20);
        p.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 256L << 20); // a commit's rows fit
        p.put(StreamsConfig.producerPrefix(ProducerConfig.SEND_BUFFER_CONFIG), 1 << 20);
        return p;
    }

    /** Of each partition's store. Rows are floats and hashes, which nothing makes smaller. */
    public static final class RocksDb implements RocksDBConfigSetter {
        @Override
        public void setConfig(String store, Options options, Map<String, Object> config) {
            options.setWriteBufferSize(64 << 20); // 16 MiB by default, which is full at each commit
            options.setMaxWriteBufferNumber(4);
            options.setMinWriteBufferNumberToMerge(2); // the same users again: half of it is never written
            options.setAllowConcurrentMemtableWrite(false); // one thread writes
            options.setCompressionType(CompressionType.NO_COMPRESSION);
            BlockBasedTableConfig table = (BlockBasedTableConfig) options.tableFormatConfig();
            table.setBlockSize(8 << 10); // five rows rather than two
            table.setCacheIndexAndFilterBlocks(false);
            options.setTableFormatConfig(table);
        }

        @Override
        public void close(String store, Options options) {}
    }
}
