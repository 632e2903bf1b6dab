-- Writer: patterns (role patterns_rw).
-- Outside a transaction.
create index concurrently if not exists fix_patterns_age on patterns.fix_patterns (submitted_at);
