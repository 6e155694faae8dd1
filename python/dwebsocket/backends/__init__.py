"""The factories by the server they were written for; today they are one."""
