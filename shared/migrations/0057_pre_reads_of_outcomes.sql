-- Writer: scoring (role scoring_rw).
-- The rows of scoring.live_outcomes, kept as they come: a calibration reads the newest ten thousand of a version, and
-- would else ask for the outcome of each fix of twice as many.
create table scoring.judged_predictions (
  fix_id uuid primary key,
  model_version text not null,
  scored_at timestamptz not null,
  confidence double precision not null,
  held boolean not null,
  bin integer not null generated always as (least(width_bucket(confidence, 0, 1, 20), 20)) stored,
  squared double precision not null generated always as ((confidence - held::integer) ^ 2) stored
);
create index judged_predictions_newest
on scoring.judged_predictions (model_version, scored_at desc) include (bin, confidence, held, squared);
alter table scoring.judged_predictions set
  (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.05);

-- Nothing else of a fix changes once it has an outcome that counts.
create function scoring.keep_judged_predictions() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op <> 'INSERT' and old.effective then
    delete from scoring.judged_predictions j where j.fix_id = old.fix_id;
  end if;
  if tg_op <> 'DELETE' and new.effective then
    insert into scoring.judged_predictions as j (fix_id, model_version, scored_at, confidence, held)
    select f.id, f.model_version, f.scored_at, f.confidence, new.kind = 'held' from scoring.agent_auto_fixes f
    where f.id = new.fix_id and f.model_version is not null and not f.imported
      and f.scored_at < new.observed_at and f.scored_at < new.reported_at
      and new.kind in ('held', 'reverted', 'fixed_again')
    on conflict (fix_id) do update set held = excluded.held;
  end if;
  return null;
end $$;
-- What comes effective at once was imported with its fix, and so judges nothing.
create trigger judged_predictions_came after insert on scoring.fix_outcomes for each row
when (new.effective and not new.imported) execute function scoring.keep_judged_predictions();
create trigger judged_predictions_changed
after update of fix_id, kind, observed_at, reported_at, effective on scoring.fix_outcomes for each row
when (old.effective or new.effective) execute function scoring.keep_judged_predictions();
create trigger judged_predictions_gone after delete on scoring.fix_outcomes for each row
when (old.effective) execute function scoring.keep_judged_predictions();

-- The patterns of the handbook: how the newest 200 fixes of each ended, and the domains that its newest 100 declared.
-- Of scoring, for that hears of all three: what a fix declared, how it ended, and which pattern it is of.
create materialized view scoring.handbook_patterns as
select p.id, p.label, p.category, p.support, fared.succeeded, fared.failed,
  coalesce(declared.domains, '{}') as domains, e.title as example_title, e.repository as example_repository,
  greatest(p.last_seen_at, fared.heard_at) as changed_at
from (
  select id, label, category, support, example_fix_id, last_seen_at from patterns.patterns
  order by support desc, id limit 100
) p
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
