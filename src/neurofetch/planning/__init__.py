"""From a listing and a query to a plan. Pure: nothing here touches a disk, a clock or a network."""
