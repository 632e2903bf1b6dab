-- Writer: patterns (role patterns_rw).
-- What refers to the other comes first, as in whoever joins: nobody then waits for the other one's lock.
create index collaboration_members_agent on patterns.collaboration_members (agent_id, collaboration_id);
alter table patterns.agent_collaborations add column words tsvector
generated always as (strip(to_tsvector('simple',
  translate(title, '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', '                                ')))) stored;

-- A page of collaborations, for each combination of filters that is served.
create index agent_collaborations_status on patterns.agent_collaborations (status, created_at desc, id desc);
create index agent_collaborations_type on patterns.agent_collaborations (collaboration_type, created_at desc, id desc);
create index agent_collaborations_status_type
on patterns.agent_collaborations (status, collaboration_type, created_at desc, id desc);
create index agent_collaborations_domains on patterns.agent_collaborations using gin (agent_domains);
create index agent_collaborations_learning on patterns.agent_collaborations (learning_id) where learning_id is not null;

create index agent_collaborations_words on patterns.agent_collaborations using gin (words);
