-- Schema 6: which groups hold a path is said exactly, by bits. Of a row that was stamped more than once all of them may have been
-- handed it; of any other their positions tell.
ALTER TABLE entry RENAME COLUMN died TO held;
UPDATE entry SET held = -(tick <> born) WHERE held <> -(tick <> born);
ALTER TABLE entry DROP COLUMN born;
ALTER TABLE entry DROP COLUMN made;
