package peer;

/** Where the rows of a partition's users are. */
interface UserRows {
    /** Of a user never seen a blank one. It may be written to, and must be said to be `changed` then. */
    Row find(byte[] key);

    void changed(Row row);
}
