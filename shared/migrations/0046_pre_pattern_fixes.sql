-- Writer: patterns (role patterns_rw).
-- Outside a transaction.
-- The newest fixes of a pattern by the index alone: the planner, who knows how many a pattern has on average, would
-- otherwise read and sort all that a large one has.
create index concurrently if not exists fix_patterns_newest on patterns.fix_patterns (pattern_id, submitted_at desc) include (fix_id)
where pattern_id is not null;
drop index concurrently if exists patterns.fix_patterns_pattern;
