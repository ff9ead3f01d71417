; References. A name captured as @skip is a binding or a label, not a use.

(function_call_expression function: (name) @call)
(function_call_expression function: (qualified_name) @call.member)
(member_call_expression) @call.named
(nullsafe_member_call_expression) @call.named
(scoped_call_expression) @call.named
(object_creation_expression (name) @call)
(object_creation_expression (qualified_name) @call.member)
(base_clause [(name) (qualified_name)] @base)
(class_interface_clause [(name) (qualified_name)] @base)
(use_declaration [(name) (qualified_name)] @base)
(named_type (name) @use)
(named_type (qualified_name) @use.member)
(class_constant_access_expression . (name) @use)
(class_constant_access_expression . (qualified_name) @use.member)
(scoped_property_access_expression scope: (name) @use)
(scoped_call_expression scope: (name) @use)
(binary_expression operator: "instanceof" right: (name) @use)
(attribute (name) @use)
