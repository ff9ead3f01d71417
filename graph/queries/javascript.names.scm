(class_heritage [(identifier) (member_expression)] @base)
(class_declaration name: (identifier) @skip)
(formal_parameters (identifier) @skip)
