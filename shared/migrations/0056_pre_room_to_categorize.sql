-- Writer: scoring (role scoring_rw).
-- A fix is written twice: when it is scored and, soon after, when it is categorized. Where its page has room for the
-- second version, no index is told of it: there are eleven, and one of them is of words.
alter table scoring.agent_auto_fixes set (fillfactor = 50);
