; References. A name captured as @skip is a binding or a label, not a use.

(call_expression function: (identifier) @call)
(call_expression function: [(scoped_identifier) (field_expression)] @call.member)
(call_expression function: (generic_function function: (identifier) @call))
(call_expression function: (generic_function function: [(scoped_identifier) (field_expression)] @call.member))
(macro_invocation macro: (identifier) @call)
(macro_invocation macro: (scoped_identifier) @call.member)
; What is handed to a macro is not parsed: a name before brackets is called.
(token_tree (identifier) @call.token . (token_tree))
(impl_item trait: [(type_identifier) (scoped_type_identifier)] @base)
(impl_item trait: (generic_type type: [(type_identifier) (scoped_type_identifier)] @base))
(trait_item bounds: (trait_bounds [(type_identifier) (scoped_type_identifier)] @base))
(trait_item bounds: (trait_bounds (generic_type type: [(type_identifier) (scoped_type_identifier)] @base)))
(scoped_type_identifier) @use.member
(type_identifier) @use
(struct_expression name: (type_identifier) @use)
(arguments (scoped_identifier) @use.member)
(arguments (identifier) @name)
(scoped_identifier path: (identifier) @name)
(attribute (identifier) @name)

(struct_item name: (type_identifier) @skip)
(enum_item name: (type_identifier) @skip)
(union_item name: (type_identifier) @skip)
(trait_item name: (type_identifier) @skip)
(type_item name: (type_identifier) @skip)
(type_parameter name: (type_identifier) @skip)
(impl_item type: (type_identifier) @skip)
(impl_item type: (generic_type type: (type_identifier) @skip))
(associated_type name: (type_identifier) @skip)
