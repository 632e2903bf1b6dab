-- Writer: scoring (role scoring_rw).
-- The patterns of the handbook: how the newest 200 fixes of each ended, and the domains that its newest 100 declared.
-- Of scoring, for that hears of all three: what a fix declared, how it ended, and which pattern it is of.
create materialized view scoring.handbook_patterns as
select p.id, p.label, p.category, p.support, fared.succeeded, fared.failed,
  coalesce(declared.domains, '{}') as domains, e.title as example_title, e.repository as example_repository,
  greatest(p.last_seen_at, fared.heard_at) as changed_at
from (select * from patterns.patterns order by support desc, id limit 100) p
cross join lateral (
  select count(*) filter (where o.kind = 'held')::integer as succeeded,
    count(*) filter (where o.kind in ('reverted', 'fixed_again'))::integer as failed, max(o.reported_at) as heard_at
  from (
    select f.fix_id from patterns.fix_patterns f where f.pattern_id = p.id order by f.submitted_at desc limit 200
  ) newest
  join scoring.fix_outcomes o on o.fix_id = newest.fix_id and o.effective
) fared
cross join lateral (
  select array_agg(distinct d) as domains
  from (
    select f.fix_id from patterns.fix_patterns f where f.pattern_id = p.id order by f.submitted_at desc limit 100
  ) newest
  join scoring.agent_auto_fixes a on a.id = newest.fix_id cross join lateral unnest(a.domains) d
) declared
left join patterns.fix_patterns e on e.fix_id = p.example_fix_id;
create unique index handbook_patterns_id on scoring.handbook_patterns (id);

create function scoring.refresh_handbook_patterns() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  refresh materialized view concurrently scoring.handbook_patterns;
end $$;
revoke all on function scoring.refresh_handbook_patterns() from public;
grant execute on function scoring.refresh_handbook_patterns() to scoring_rw;
