-- /// feature-view
-- title = "Actions with ticks"
-- kind = "feature"
-- grain = ["session_id", "seq"]
-- order = ["game_id", "ts", "session_id", "seq"]
-- reads = ["player_action", "ws_event", "ticks", "tick_sightings"]
-- source = "What each action and trade could know of its game: never the tick that it happened in, nor anything of the same instant that was not recorded before it (docs/decisions/point-in-time.md)."
-- [columns]
-- game_id = { unit = "id", doc = "The game that it names; what names none has no row." }
-- session_id = { unit = "id", doc = "The recording session of the event: a trade that two sessions recorded has two rows." }
-- seq = { unit = "count", doc = "The event's number in its session." }
-- ts = { unit = "UTC, us", doc = "When it was recorded." }
-- doc_type = { unit = "doc_type", doc = "player_action, or ws_event for a trade of the feed (standard/newTrade)." }
-- player_id = { unit = "id", doc = "Who acted.", null = "the event does not say" }
-- username = { unit = "name", doc = "Their name.", null = "the event does not say" }
-- action_type = { unit = "name", doc = "What they did; of a trade its type: buy, sell, short_open, short_close.", null = "it cannot be read" }
-- tick = { unit = "ticks", doc = "The tick that it names itself.", null = "it names none" }
-- seen_tick = { unit = "ticks", doc = "The last tick that it could know. With a tick of its own: the greatest one seen below that. Without: the greatest one whose ts is before its own ts, or the same with a lower seq in the same session.", window = "the ticks before it", null = "there is none" }
-- seen_ts = { unit = "UTC, us", doc = "ts of that tick.", window = "the ticks before it", null = "there is none, or it has no time of its own" }
-- seen_price = { unit = "price", doc = "Price of that tick.", window = "the ticks before it", null = "there is none" }
-- ticks_since_seen = { unit = "ticks", doc = "tick - seen_tick: 1 where the tick just before was seen.", window = "the ticks before it", null = "either is" }
-- ///
WITH payloads AS (
    SELECT
        *,
        -- Stores of other recorders keep the payload without its envelope.
        coalesce(TRY_CAST(raw_json AS JSON) -> '$.data', TRY_CAST(raw_json AS JSON)) AS data
    FROM ws_event
    WHERE event_name = 'standard/newTrade' AND game_id IS NOT NULL
),

trades AS (
    SELECT
        * EXCLUDE (data),
        CASE json_type(data)
            WHEN 'OBJECT' THEN data
            -- A list with a trace header in it: the payload is the last object that is none.
            WHEN 'ARRAY' THEN list_filter(
                CAST(data AS JSON[]),
                lambda part: json_type(part) = 'OBJECT' AND NOT json_exists(part, '$.__trace')
            )[-1]
        END -> '$.type' AS trade_type
    FROM payloads
),

actions AS (
    SELECT
        game_id,
        session_id,
        seq,
        ts,
        doc_type,
        player_id,
        username,
        CAST(action_type AS VARCHAR) AS action_type,
        tick
    FROM player_action
    WHERE game_id IS NOT NULL
    UNION ALL
    SELECT
        game_id,
        session_id,
        seq,
        ts,
        doc_type,
        player_id,
        username,
        -- As everywhere, an empty text and one with a NUL in it say nothing.
        CASE
            WHEN json_type(trade_type) = 'VARCHAR' AND NOT contains(trade_type ->> '$', chr(0))
                THEN nullif(trade_type ->> '$', '')
        END AS action_type,
        tick
    FROM trades
),

with_tick AS (
    SELECT * FROM actions
    WHERE tick IS NOT NULL
),

without_tick AS (
    SELECT * FROM actions
    WHERE tick IS NULL
),

-- How far each game had come by each time that a tick of it has. The clocks of two recorders may disagree with the
-- order of the ticks: the greatest tick counts, not the latest time.
reached AS (
    SELECT
        game_id,
        ts,
        max(max(tick)) OVER (PARTITION BY game_id ORDER BY ts ROWS UNBOUNDED PRECEDING) AS tick
    FROM ticks
    WHERE ts IS NOT NULL AND game_id IN (SELECT game_id FROM without_tick)
    GROUP BY game_id, ts
),

-- Ticks of the very time of an action, with the sighting that the time was taken from: of those with this time the
-- best one, in the order in which `ticks` believes them.
same_time AS (
    SELECT
        a.session_id,
        a.seq,
        t.tick,
        first((s.session_id, s.seq) ORDER BY s.source_rank, s.rugged DESC, s.session_id, s.seq) AS timed_by
    FROM without_tick AS a
    INNER JOIN ticks AS t ON a.game_id = t.game_id AND a.ts = t.ts
    INNER JOIN tick_sightings AS s
        ON t.game_id = s.game_id AND t.tick = s.tick AND t.ts = s.ts AND s.has_own_time
    GROUP BY a.session_id, a.seq, t.tick
),

recorded_before AS (
    SELECT session_id, seq, max(tick) AS tick
    FROM same_time
    WHERE timed_by[1] = session_id AND timed_by[2] < seq
    GROUP BY session_id, seq
),

-- A game has each tick once, and each time once in `reached`: strictly before it there is one last of them, no tie.
known AS (
    SELECT a.*, below.tick AS seen_tick
    FROM with_tick AS a
    ASOF LEFT JOIN ticks AS below ON a.game_id = below.game_id AND a.tick > below.tick
    UNION ALL
    SELECT a.*, greatest(earlier.tick, same.tick) AS seen_tick
    FROM without_tick AS a
    ASOF LEFT JOIN reached AS earlier ON a.game_id = earlier.game_id AND a.ts > earlier.ts
    LEFT JOIN recorded_before AS same ON a.session_id = same.session_id AND a.seq = same.seq
)

SELECT
    k.game_id,
    k.session_id,
    k.seq,
    k.ts,
    k.doc_type,
    k.player_id,
    k.username,
    k.action_type,
    k.tick,
    k.seen_tick,
    t.ts AS seen_ts,
    t.price AS seen_price,
    k.tick - k.seen_tick AS ticks_since_seen
FROM known AS k
LEFT JOIN ticks AS t ON k.game_id = t.game_id AND k.seen_tick = t.tick
