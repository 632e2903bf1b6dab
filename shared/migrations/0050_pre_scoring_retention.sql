-- Writer: scoring (role scoring_rw).
-- Outside a transaction.
-- What is let go for its age is found without a look at what stays.
create index concurrently if not exists agent_auto_fixes_diffs on scoring.agent_auto_fixes (scored_at)
where diff is not null;
create index concurrently if not exists fix_outcomes_refused on scoring.fix_outcomes (reported_at)
where state = 'refused';
