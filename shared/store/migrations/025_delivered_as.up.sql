-- How a person's words reached an agent, as a type of its own instead of prose.

CREATE TYPE makima.delivered_as AS ENUM ('while_it_ran', 'next_turn');

ALTER TABLE makima.task_message
    DROP CONSTRAINT task_message_delivered_as_check,
    ALTER delivered_as TYPE makima.delivered_as
        USING (CASE delivered_as WHEN 'while it ran' THEN 'while_it_ran' WHEN 'at its next turn' THEN 'next_turn' END)::makima.delivered_as;
