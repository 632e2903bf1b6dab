-- Writer: scoring (role scoring_rw).
-- All that is read of the outcome that counts, so that a page of fixes, or two hundred fixes of each of a hundred
-- patterns, do not fetch a row for each.
create unique index fix_outcomes_counts
on scoring.fix_outcomes (fix_id) include (kind, observed_at, reported_at) where effective;
drop index scoring.fix_outcomes_effective;
