-- Writer: scoring (role scoring_rw).
-- Outside a transaction.
-- All that is read of the outcome that counts, so that a page of fixes, or two hundred fixes of each of a hundred
-- patterns, do not fetch a row for each.
create unique index concurrently if not exists fix_outcomes_counts
on scoring.fix_outcomes (fix_id) include (kind, observed_at, reported_at) where effective;
drop index concurrently if exists scoring.fix_outcomes_effective;
