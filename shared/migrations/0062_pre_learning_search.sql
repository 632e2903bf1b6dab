-- Writer: patterns (role patterns_rw).
-- Outside a transaction.
-- In place of `agent_learnings_words`: see patterns.search_tags.
create index concurrently if not exists agent_learnings_search
on patterns.agent_learnings using gin (words, patterns.search_tags(agent_id, agent_domains, created_at));
drop index concurrently if exists patterns.agent_learnings_words;
