-- Writer: scoring (role scoring_rw).
-- How each agent's fixes fared, and what was predicted for those that are settled. A prediction is never changed, so
-- it is what was said before anybody knew.
create index agent_auto_fixes_fared on scoring.agent_auto_fixes (agent_id) include (status, confidence, submitted_at)
where agent_id is not null;
-- The refresh reads the index alone, for as long as few pages have changed since they were last vacuumed.
alter table scoring.agent_auto_fixes set
  (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.05);

create materialized view scoring.agent_stats as
select agent_id, count(*)::integer as fixes,
  count(*) filter (where status in ('accepted', 'scored'))::integer as unsettled,
  count(*) filter (where status = 'succeeded')::integer as succeeded,
  count(*) filter (where status = 'failed')::integer as failed,
  count(*) filter (where status = 'rejected')::integer as rejected,
  avg(confidence) filter (where status in ('succeeded', 'failed')) as expected_rate,
  max(submitted_at) as last_submitted_at
from scoring.agent_auto_fixes where agent_id is not null group by agent_id;
create unique index agent_stats_agent on scoring.agent_stats (agent_id);

-- When each view of the schema was last made, and the seconds that took.
create table scoring.refreshes (
  name text primary key,
  as_of timestamptz not null,
  seconds double precision not null
);

-- Only its owner refreshes a view; the service may ask for this one.
create function scoring.refresh_agent_stats() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  refresh materialized view concurrently scoring.agent_stats;
end $$;
revoke all on function scoring.refresh_agent_stats() from public;
grant execute on function scoring.refresh_agent_stats() to scoring_rw;
