-- Writer: patterns (role patterns_rw).
-- How collaborations of each type end, and how long the middle one of those that ended took.
create materialized view patterns.collaboration_stats as
select collaboration_type, status, count(*)::integer as count,
  percentile_cont(0.5) within group (order by extract(epoch from closed_at - created_at)) as median_seconds
from patterns.agent_collaborations group by collaboration_type, status;
create unique index collaboration_stats_type on patterns.collaboration_stats (collaboration_type, status);

create table patterns.refreshes (
  name text primary key,
  as_of timestamptz not null,
  seconds double precision not null
);

create function patterns.refresh_collaboration_stats() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  refresh materialized view concurrently patterns.collaboration_stats;
end $$;
revoke all on function patterns.refresh_collaboration_stats() from public;
grant execute on function patterns.refresh_collaboration_stats() to patterns_rw;
