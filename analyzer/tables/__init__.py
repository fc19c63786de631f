"""Every table and column, declared once; and the folders of tables that the stages hand to each other."""
