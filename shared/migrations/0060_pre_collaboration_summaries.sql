-- Writer: patterns (role patterns_rw).
-- What is shown of a collaboration beside its own row, counted when it changes and not each time that it is read. The
-- votes on a solution, and their reasons, are null until it is closed, see services/gateway/knowledge_views.py.
create table patterns.collaboration_summaries (
  collaboration_id uuid primary key,
  agents text[] not null,
  votes_cast integer not null,
  solutions jsonb not null
) with (fillfactor = 80);
-- One row an agent that has joined it, as of fixes: see scoring.fix_domains.
create table patterns.collaboration_agents (
  agent_id text not null,
  created_at timestamptz not null,
  collaboration_id uuid not null,
  status text not null,
  primary key (agent_id, created_at, collaboration_id)
);
create index collaboration_agents_status
on patterns.collaboration_agents (agent_id, status, created_at desc, collaboration_id desc);

create view patterns.collaboration_counts as
select c.id as collaboration_id,
  array(select m.agent_id from patterns.collaboration_members m
    where m.collaboration_id = c.id order by m.joined_at) as agents,
  (select count(distinct v.principal)::integer from patterns.collaboration_votes v
    where v.collaboration_id = c.id) as votes_cast,
  (
    select coalesce(jsonb_agg(to_jsonb(s) order by s.created_at, s.id), '[]') from (
      select s.id, s.agent_id, s.title, s.body, s.created_at, v.votes_for, v.votes_against, v.reasons
      from patterns.collaboration_solutions s
      left join lateral (
        select count(*) filter (where v.value = 1) as votes_for, count(*) filter (where v.value = -1) as votes_against,
          coalesce(array_agg(v.reason order by v.voted_at) filter (where v.reason is not null), '{}') as reasons
        from patterns.collaboration_votes v where v.solution_id = s.id
      ) v on c.status <> 'open'
      where s.collaboration_id = c.id
    ) s
  ) as solutions
from patterns.agent_collaborations c;

-- Nobody leaves a collaboration, and nothing of one is deleted.
create function patterns.keep_collaboration_summaries() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
declare
  changed uuid;
begin
  if tg_table_name = 'agent_collaborations' then
    changed := new.id;
  else
    changed := new.collaboration_id;
  end if;
  insert into patterns.collaboration_summaries as s (collaboration_id, agents, votes_cast, solutions)
  select n.collaboration_id, n.agents, n.votes_cast, n.solutions from patterns.collaboration_counts n
  where n.collaboration_id = changed
  on conflict (collaboration_id) do update
    set agents = excluded.agents, votes_cast = excluded.votes_cast, solutions = excluded.solutions;
  if tg_table_name in ('agent_collaborations', 'collaboration_members') then
    insert into patterns.collaboration_agents as a (agent_id, created_at, collaboration_id, status)
    select distinct m.agent_id, c.created_at, c.id, c.status from patterns.agent_collaborations c
    join patterns.collaboration_members m on m.collaboration_id = c.id where c.id = changed
    on conflict (agent_id, created_at, collaboration_id) do update set status = excluded.status
    where a.status <> excluded.status;
  end if;
  return null;
end $$;
-- What refers to the other comes first, as in whoever votes: nobody then waits for the other one's lock.
create trigger collaboration_summaries_voted after insert or update on patterns.collaboration_votes
for each row execute function patterns.keep_collaboration_summaries();
create trigger collaboration_summaries_proposed after insert or update on patterns.collaboration_solutions
for each row execute function patterns.keep_collaboration_summaries();
create trigger collaboration_summaries_joined after insert or update on patterns.collaboration_members
for each row execute function patterns.keep_collaboration_summaries();
create trigger collaboration_summaries_opened after insert on patterns.agent_collaborations
for each row execute function patterns.keep_collaboration_summaries();
create trigger collaboration_summaries_closed after update of status on patterns.agent_collaborations
for each row when (old.status <> new.status) execute function patterns.keep_collaboration_summaries();
