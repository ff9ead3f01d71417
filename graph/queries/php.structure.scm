; Definitions, documentation, imports and the types of variables. Captures: see backstory/graph/parse.py.

(class_declaration name: (name) @name body: (_) @body) @class
(interface_declaration name: (name) @name body: (_) @body) @class
(trait_declaration name: (name) @name body: (_) @body) @class
(enum_declaration name: (name) @name body: (_) @body) @class
(function_definition name: (name) @name body: (_) @body) @function
(method_declaration name: (name) @name body: (_) @body) @function
(method_declaration name: (name) @name !body) @function

((comment) @doc (#match? @doc "^/\\*\\*"))

(namespace_definition name: (namespace_name) @package)

(namespace_use_declaration (namespace_use_clause (name) @import.name !alias)) @import
(namespace_use_declaration (namespace_use_clause (name) @import.name alias: (name) @import.alias)) @import
(namespace_use_declaration (namespace_use_clause (qualified_name (namespace_name) @import.module (name) @import.name) !alias)) @import
(namespace_use_declaration (namespace_use_clause
  (qualified_name (namespace_name) @import.module (name) @import.name) alias: (name) @import.alias)) @import
(namespace_use_declaration (namespace_name) @import.module body: (namespace_use_group (namespace_use_clause (name) @import.name !alias))) @import
(namespace_use_declaration (namespace_name) @import.module
  body: (namespace_use_group (namespace_use_clause (name) @import.name alias: (name) @import.alias))) @import
(namespace_use_declaration (namespace_name) @import.module body: (namespace_use_group
  (namespace_use_clause (qualified_name (namespace_name) @import.module (name) @import.name) !alias))) @import
(namespace_use_declaration (namespace_name) @import.module body: (namespace_use_group
  (namespace_use_clause (qualified_name (namespace_name) @import.module (name) @import.name) alias: (name) @import.alias))) @import

(require_expression [(string (string_content) @import.module) (binary_expression right: (string (string_content) @import.module))]) @import
(require_once_expression [(string (string_content) @import.module) (binary_expression right: (string (string_content) @import.module))]) @import
(include_expression [(string (string_content) @import.module) (binary_expression right: (string (string_content) @import.module))]) @import
(include_once_expression [(string (string_content) @import.module) (binary_expression right: (string (string_content) @import.module))]) @import

(property_declaration type: (_) @type (property_element name: (variable_name (name) @typed.own)))
(property_promotion_parameter type: (_) @type name: (variable_name (name) @typed.own))
(property_promotion_parameter type: (_) @type name: (variable_name (name) @typed))
(simple_parameter type: (_) @type name: (variable_name (name) @typed))
(catch_clause type: (type_list . (_) @type .) name: (variable_name (name) @typed))
(assignment_expression left: [(variable_name) (member_access_expression)] @typed
  right: (object_creation_expression [(name) (qualified_name)] @type))
(assignment_expression left: [(variable_name) (member_access_expression)] @typed
  right: [(member_call_expression) (scoped_call_expression) (function_call_expression)] @made)
(method_declaration name: (name) @returns return_type: (_) @type)
(function_definition name: (name) @returns return_type: (_) @type)
