-- Writer: patterns (role patterns_rw).
-- Whose learning it is and what it is for, each with the ten days that it is of: what an index of words finds under one
-- of these is at most what was written in ten days, however much there is of an agent or a domain.
create function patterns.days_of(at timestamptz) returns integer language sql immutable
return floor(extract(epoch from at) / 864000)::integer;
create function patterns.search_tag(days integer, kind text, name text) returns text language sql immutable
return days::text || ':' || kind || ':' || md5(name);
create function patterns.search_tags(agent_id text, domains text[], at timestamptz) returns text[]
language sql immutable
return array[patterns.search_tag(patterns.days_of(at), 'agent', agent_id)]
  || array(select patterns.search_tag(patterns.days_of(at), 'domain', d) from unnest(domains) d);

-- The newest learnings before a place in the list, by any words, of one agent or domain: ten days at a time, until there
-- are enough. While it has few in ten days, all of them are looked at: `is true` keeps words from the index, which would
-- read what it knows of a common word once more for each ten days. Planned once for whatever is asked, for there is one
-- index to go by.
create function patterns.learnings_found(
  query tsquery, kind text, name text, before_at timestamptz, before_id uuid, most integer
) returns table (at timestamptz, id uuid) language plpgsql stable rows 100
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  days integer := patterns.days_of(coalesce(before_at, (select max(created_at) from patterns.agent_learnings)));
  first_days integer := patterns.days_of((select min(created_at) from patterns.agent_learnings));
  tags text[];
  many boolean := false;
  found_now integer;
begin
  while most > 0 and days >= first_days loop
    tags := array[patterns.search_tag(days, kind, name)];
    if not many then
      many := count(*) = 50 from (
        select from patterns.agent_learnings l
        where patterns.search_tags(l.agent_id, l.agent_domains, l.created_at) @> tags limit 50
      ) tagged;
    end if;
    if many then
      return query
        select l.created_at, l.id from patterns.agent_learnings l
        where patterns.search_tags(l.agent_id, l.agent_domains, l.created_at) @> tags
          and l.words @@ query and l.status <> 'held'
          and (before_at is null or (l.created_at, l.id) < (before_at, before_id))
        order by l.created_at desc, l.id desc limit most;
    else
      return query
        select l.created_at, l.id from patterns.agent_learnings l
        where patterns.search_tags(l.agent_id, l.agent_domains, l.created_at) @> tags
          and (l.words @@ query) is true and l.status <> 'held'
          and (before_at is null or (l.created_at, l.id) < (before_at, before_id))
        order by l.created_at desc, l.id desc limit most;
    end if;
    get diagnostics found_now = row_count;
    most := most - found_now;
    days := days - 1;
  end loop;
end $$;
