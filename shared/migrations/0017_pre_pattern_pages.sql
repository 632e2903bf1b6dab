-- Writer: patterns (role patterns_rw).
-- A page of patterns counts outcomes for the patterns of that page alone, not for all that there are before it.
create index patterns_page on patterns.patterns (first_seen_at desc, id desc);
create index patterns_support on patterns.patterns (support desc, id);
