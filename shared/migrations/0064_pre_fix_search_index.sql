-- Writer: scoring (role scoring_rw).
-- Outside a transaction.
-- In place of `agent_auto_fixes_words`: see scoring.day_of. What is not yet sorted into it is read as a whole for each
-- search, so that there may be 512 kB of it at most.
create index concurrently if not exists agent_auto_fixes_search
on scoring.agent_auto_fixes using gin (words, (array[scoring.day_of(submitted_at)]))
with (gin_pending_list_limit = 512);
drop index concurrently if exists scoring.agent_auto_fixes_words;
