-- Writer: patterns (role patterns_rw).
-- A page of the fixes of a category: a correction counts for its prediction.
create index fix_patterns_category
on patterns.fix_patterns (coalesce(corrected_category, category), submitted_at desc, fix_id desc);
create index fix_patterns_repository_category
on patterns.fix_patterns (repository, coalesce(corrected_category, category), submitted_at desc, fix_id desc);
create index fix_patterns_agent_category
on patterns.fix_patterns (agent_id, coalesce(corrected_category, category), submitted_at desc, fix_id desc);
