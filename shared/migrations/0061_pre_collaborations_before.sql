-- Writer: patterns (role patterns_rw).
-- Those of before. Of one that changes meanwhile there is a row already, of its change, or there will be one after this.
insert into patterns.collaboration_summaries (collaboration_id, agents, votes_cast, solutions)
select n.collaboration_id, n.agents, n.votes_cast, n.solutions
from patterns.agent_collaborations c join patterns.collaboration_counts n on n.collaboration_id = c.id
order by c.created_at
on conflict do nothing;
insert into patterns.collaboration_agents (agent_id, created_at, collaboration_id, status)
select distinct m.agent_id, c.created_at, c.id, c.status
from patterns.agent_collaborations c join patterns.collaboration_members m on m.collaboration_id = c.id
order by m.agent_id, c.created_at
on conflict do nothing;
analyze patterns.collaboration_summaries, patterns.collaboration_agents;
