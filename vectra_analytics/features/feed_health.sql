-- /// feature-view
-- title = "Feed health"
-- kind = "summary"
-- grain = ["session_id", "minute", "event_name"]
-- reads = ["events", "player_action"]
-- source = "How well a recording ran: one row for each session, UTC minute and name of events, where there is an event. A recorder stores `connected` and `disconnected` among its events, so the rows of these names count its reconnects."
-- [columns]
-- session_id = { unit = "id", doc = "The recording session." }
-- minute = { unit = "UTC, us", doc = "Start of the minute in which the events were recorded.", window = "the minute" }
-- event_name = { unit = "name", doc = "Name of the events: their event_name, else their action_type, else their doc_type, such as complete_game. connected and disconnected are the recorder's own.", window = "the minute" }
-- n_events = { unit = "count", doc = "Events of that name.", window = "the minute" }
-- n_games = { unit = "count", doc = "Different games that they name.", window = "the minute" }
-- longest_silence_ms = { unit = "ms", doc = "Longest time from one event of that name in the session to the next one, which is in this minute.", window = "the minute and the event before it", null = "there is one event, the session's first of that name" }
-- tick_interval_p50_ms = { unit = "ms", doc = "Median time from a played tick t to t + 1 of the same game in the session, where the events of the two come one after the other; the tick of the rug and what follows it do not count.", window = "the minute and the tick before it", null = "no two such ticks are there" }
-- tick_interval_p95_ms = { unit = "ms", doc = "95th percentile of the same, interpolated.", window = "the minute and the tick before it", null = "no two such ticks are there" }
-- tick_interval_max_ms = { unit = "ms", doc = "Longest of the same.", window = "the minute and the tick before it", null = "no two such ticks are there" }
-- n_missing_ticks = { unit = "count", doc = "Played ticks that the session did not see between two that it saw of a game, at the later of these; a tick that comes late is not missing.", window = "the minute and the tick before it", null = "events of that name carry no ticks" }
-- latency_p50_ms = { unit = "ms", doc = "Median of latency_ms, which events of the name trade_confirmed tell; what is no finite number from 0 up does not count.", window = "the minute", null = "no event tells one" }
-- latency_p95_ms = { unit = "ms", doc = "95th percentile of the same, interpolated.", window = "the minute", null = "no event tells one" }
-- latency_max_ms = { unit = "ms", doc = "Highest of the same.", window = "the minute", null = "no event tells one" }
-- ///
WITH named AS (
    SELECT
        session_id,
        date_trunc('minute', ts) AS minute,
        coalesce(CAST(event_name AS VARCHAR), CAST(action_type AS VARCHAR), CAST(doc_type AS VARCHAR)) AS name,
        epoch_us(ts) AS us,
        seq,
        game_id,
        tick,
        doc_type = 'game_tick' OR (doc_type = 'ws_event' AND event_name = 'gameStateUpdate') AS has_ticks,
        -- As in `ticks`, an event that says nothing counts as played.
        coalesce(active, true) AND NOT coalesce(rugged, false) AS is_played
    FROM events
),

silences AS (
    SELECT *, (us - lag(us) OVER (PARTITION BY session_id, name ORDER BY us, seq)) / 1000 AS silence_ms
    FROM named
),

counts AS (
    SELECT
        session_id,
        minute,
        name,
        count(*) AS n_events,
        count(DISTINCT game_id) AS n_games,
        max(silence_ms) AS longest_silence_ms,
        bool_or(has_ticks) AS has_ticks
    FROM silences
    GROUP BY session_id, minute, name
),

played AS (
    SELECT session_id, minute, name, us, seq, game_id, tick
    FROM named
    WHERE has_ticks AND is_played AND game_id IS NOT NULL AND tick >= 0
),

steps AS (
    SELECT
        session_id,
        minute,
        name,
        tick - lag(tick) OVER in_order AS n_ticks,
        (us - lag(us) OVER in_order) / 1000 AS interval_ms
    FROM played
    WINDOW in_order AS (PARTITION BY session_id, game_id, name ORDER BY us, seq)
),

intervals AS (
    SELECT
        session_id,
        minute,
        name,
        quantile_cont(interval_ms, 0.5) AS p50,
        quantile_cont(interval_ms, 0.95) AS p95,
        max(interval_ms) AS longest
    FROM steps
    WHERE n_ticks = 1
    GROUP BY session_id, minute, name
),

seen AS (
    SELECT session_id, game_id, name, tick, min(minute) AS minute
    FROM played
    GROUP BY session_id, game_id, name, tick
),

holes AS (
    SELECT
        session_id,
        minute,
        name,
        tick - lag(tick) OVER (PARTITION BY session_id, game_id, name ORDER BY tick) - 1 AS n_missing
    FROM seen
),

missing AS (
    -- The holes of one game are fewer than 2^63 ticks; those of several need not be.
    SELECT session_id, minute, name, CAST(least(sum(n_missing), 9223372036854775807) AS BIGINT) AS n_missing
    FROM holes
    WHERE n_missing > 0
    GROUP BY session_id, minute, name
),

confirmed AS (
    SELECT
        session_id,
        date_trunc('minute', ts) AS minute,
        TRY_CAST(raw_json AS JSON) -> '$.latency_ms' AS said
    FROM player_action
    WHERE coalesce(CAST(event_name AS VARCHAR), CAST(action_type AS VARCHAR)) = 'trade_confirmed'
),

told AS (
    SELECT session_id, minute, TRY_CAST(said AS DOUBLE) AS latency_ms
    FROM confirmed
    WHERE json_type(said) IN ('BIGINT', 'UBIGINT', 'DOUBLE')
),

latencies AS (
    SELECT
        session_id,
        minute,
        'trade_confirmed' AS name,
        quantile_cont(latency_ms, 0.5) AS p50,
        quantile_cont(latency_ms, 0.95) AS p95,
        max(latency_ms) AS highest
    FROM told
    WHERE latency_ms >= 0 AND isfinite(latency_ms)
    GROUP BY session_id, minute
)

SELECT
    session_id,
    minute,
    name AS event_name,
    c.n_events,
    c.n_games,
    c.longest_silence_ms,
    i.p50 AS tick_interval_p50_ms,
    i.p95 AS tick_interval_p95_ms,
    i.longest AS tick_interval_max_ms,
    CASE WHEN c.has_ticks THEN coalesce(m.n_missing, 0) END AS n_missing_ticks,
    l.p50 AS latency_p50_ms,
    l.p95 AS latency_p95_ms,
    l.highest AS latency_max_ms
FROM counts AS c
LEFT JOIN intervals AS i USING (session_id, minute, name)
LEFT JOIN missing AS m USING (session_id, minute, name)
LEFT JOIN latencies AS l USING (session_id, minute, name)
