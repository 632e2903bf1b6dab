-- Writer: scoring (role scoring_rw).
-- Each outcome that came after its prediction, one row a fix: what the prediction is judged by. Fixes that were
-- imported with their outcome are none: it was there before.
create view scoring.live_outcomes as
select f.id, f.model_version, f.confidence, f.scored_at, o.kind = 'held' as held, o.reported_at
from scoring.agent_auto_fixes f join scoring.fix_outcomes o on o.fix_id = f.id and o.effective
where not f.imported and f.scored_at is not null and o.kind in ('held', 'reverted', 'fixed_again')
  and o.observed_at > f.scored_at and o.reported_at > f.scored_at;

-- In twenty bins of equal width, the newest `most` fixes of a version.
create function scoring.calibration(version text, most integer)
returns table (bin integer, count bigint, predicted double precision, observed double precision, squared double precision)
language sql stable as $$
  select least(width_bucket(confidence, 0, 1, 20), 20), count(*), avg(confidence), avg(held::integer)::double precision,
    sum((confidence - held::integer) ^ 2)
  from (
    select confidence, held from scoring.live_outcomes where model_version = version order by scored_at desc limit most
  ) newest
  group by 1
$$;

create index agent_auto_fixes_live on scoring.agent_auto_fixes (model_version, scored_at desc) where not imported;
create index fix_outcomes_effective_reported on scoring.fix_outcomes (reported_at) where effective;
