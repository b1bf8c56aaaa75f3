package peer;

/** One shop event as it was parsed. Reused, so that parsing makes no objects. */
final class Event {
    int source;
    long offset;
    long recordTimeMs;
    long timeMs;
    boolean timeBounded; // its own time was not believed
    int action; // 0: none
    int item; // hash of item id or search term; 0: none, as of the next four
    int category;
    int device; // 16 bits, as the next two
    int country;
    int place;
    float price; // NaN: none
    long hash; // of the event id
    byte[] key;
    // Ids as they stand in the record's JSON, without quotes, to be copied into scores
    byte[] json;
    int eventIdFrom;
    int eventIdTo;
    int userIdFrom;
    int userIdTo;

    void clear() {
        timeMs = -1;
        timeBounded = false;
        action = item = category = device = country = place = 0;
        price = Float.NaN;
        eventIdTo = userIdTo = eventIdFrom = userIdFrom = 0;
    }
}
