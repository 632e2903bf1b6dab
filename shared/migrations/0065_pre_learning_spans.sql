-- Writer: patterns (role patterns_rw).
-- As scoring.fixes_found, by the tags of one agent or domain: as many ten days at a time as should hold what is
-- missing.
create or replace function patterns.learnings_found(
  query tsquery, kind text, name text, before_at timestamptz, before_id uuid, most integer
) returns table (at timestamptz, id uuid) language plpgsql stable rows 100
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  found_now integer;
  days integer; -- the newest ten that were not looked at; null if there are none
  first_days integer := patterns.days_of((select min(created_at) from patterns.agent_learnings));
  span integer := 1; -- how many ten days are looked at together
  tags text[];
  rarer tsquery := (
    select string_agg(word, ' & ') from string_to_table(query::text, ' & ') word where 25 > (
      select count(*) filter (where l.words @@ word::tsquery) from (
        select l.words from patterns.agent_learnings l order by l.created_at desc, l.id desc limit 100
      ) l
    )
  );
  times timestamptz[];
  ids uuid[];
begin
  if numnode(query) = 0 then return; end if;
  before_at := coalesce(before_at, 'infinity');
  before_id := coalesce(before_id, '00000000-0000-0000-0000-000000000000');
  days := patterns.days_of(case kind
    when 'agent' then (
      select max(l.created_at) from patterns.agent_learnings l where l.agent_id = name and l.created_at <= before_at
    )
    when 'domain' then (
      select max(d.created_at) from patterns.learning_domains d where d.domain = name and d.created_at <= before_at
    )
  end);
  while most > 0 and days >= first_days loop
    tags := array(select patterns.search_tag(d, kind, name) from generate_series(days - span + 1, days) d);
    if rarer is not null then
      select array_agg(l.created_at), array_agg(l.id) into times, ids from (
        select l.created_at, l.id from patterns.agent_learnings l
        where patterns.search_tags(l.agent_id, l.agent_domains, l.created_at) && tags and l.words @@ rarer
          and (l.words @@ query and l.status <> 'held' and (l.created_at, l.id) < (before_at, before_id)) is true
        limit case when span > 1 then 500 end
      ) l;
    else
      select array_agg(l.created_at), array_agg(l.id) into times, ids from (
        select l.created_at, l.id from patterns.agent_learnings l
        where patterns.search_tags(l.agent_id, l.agent_domains, l.created_at) && tags
          and (l.words @@ query and l.status <> 'held' and (l.created_at, l.id) < (before_at, before_id)) is true
        limit case when span > 1 then 500 end
      ) l;
    end if;
    found_now := coalesce(cardinality(ids), 0);
    if found_now = 500 and span > 1 then
      span := greatest(span / 8, 1);
      continue;
    end if;
    return query select * from unnest(times, ids) l (at, id) order by l.at desc, l.id desc limit most;
    most := most - found_now;
    days := days - span;
    span := least(8 * span, 1 + span * most / greatest(found_now, 1));
  end loop;
end $$;
