ALTER TABLE makima.task_message
    ALTER delivered_as TYPE text
        USING CASE delivered_as WHEN 'while_it_ran' THEN 'while it ran' WHEN 'next_turn' THEN 'at its next turn' END,
    ADD CONSTRAINT task_message_delivered_as_check CHECK (delivered_as IN ('while it ran', 'at its next turn'));
DROP TYPE makima.delivered_as;
